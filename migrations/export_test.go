package migrations

import (
	"context"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/pressly/goose/v3"
)

// UpTo applies the steps up to this one, as Up applies all.
func UpTo(ctx context.Context, pool *pgxpool.Pool, version int64) ([]int64, error) {
	return up(ctx, pool, func(p *goose.Provider, ctx context.Context) ([]*goose.MigrationResult, error) {
		return p.UpTo(ctx, version)
	})
}
