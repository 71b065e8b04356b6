package main

import "context"

type demoCommand struct{ worldFlags }

func (demoCommand) Run(context.Context, output) error { return nil }
