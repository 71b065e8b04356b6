package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// AnnounceSecret makes known that Telegram is about to be told a webhook secret, by
// its digest, and returns how long ago that was done first. Safe to repeat.
func (s *Store) AnnounceSecret(ctx context.Context, digest [32]byte) (known time.Duration, err error) {
	err = s.use(ctx, "announce secret", func(ctx context.Context, conn *pgxpool.Conn) error {
		return conn.QueryRow(ctx, `
			INSERT INTO webhook_secrets AS known (digest) VALUES ($1)
			ON CONFLICT (digest) DO UPDATE SET superseded_at = NULL,
				announced_at = CASE WHEN known.superseded_at IS NULL THEN known.announced_at ELSE now() END
			RETURNING now() - announced_at`, digest[:]).Scan(&known)
	})
	return known, err
}

// SupersedeSecrets says that Telegram was told the secret, so that all others end
// after their grace. Safe to repeat.
func (s *Store) SupersedeSecrets(ctx context.Context, digest [32]byte) error {
	_, err := s.exec(ctx, "supersede secrets", `
		UPDATE webhook_secrets SET superseded_at = now() WHERE digest <> $1 AND superseded_at IS NULL`, digest[:])
	return err
}

// secretGrace is how long a secret that was superseded is still taken.
const secretGrace = time.Hour

// queueSecrets reads the digests of the secrets that are good.
func (l *Life) queueSecrets(batch *pgx.Batch) {
	batch.Queue(`
		SELECT digest FROM webhook_secrets WHERE superseded_at IS NULL OR superseded_at > now() - $1::interval`, secretGrace).
		Query(func(rows pgx.Rows) error {
			found, err := pgx.CollectRows(rows, pgx.RowTo[[]byte])
			for _, digest := range found {
				l.Secrets = append(l.Secrets, [32]byte(digest))
			}
			return err
		})
}
