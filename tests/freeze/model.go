package main

import (
	"context"
	"errors"
)

func startModel(ctx context.Context, o options) (*subject, error) { return nil, errors.New("not yet") }
