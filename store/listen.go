package store

import "context"

const (
	// usualHours is how many hours up to the last update say what is usual.
	usualHours = 7 * 24
	// listenedHours is how many hours are remembered.
	listenedHours = 2 * usualHours
)

// Listen notes that Telegram can deliver in this hour, in which hour the newest update
// came, and drops the hours of long ago. Safe to repeat.
func (s *Store) Listen(ctx context.Context) error {
	_, err := s.exec(ctx, "listen", `
		WITH forgotten AS (
			DELETE FROM listened WHERE hour < floor(extract(epoch FROM now()) / 3600) - $1
		)
		INSERT INTO listened AS known (hour, heard)
		SELECT floor(extract(epoch FROM at) / 3600), bool_or(came) FROM (
			SELECT now() AS at, false AS came
			UNION ALL
			(SELECT received_at, true FROM inbox WHERE state IN ('done', 'stale') ORDER BY received_at DESC LIMIT 1)
			UNION ALL
			(SELECT received_at, true FROM inbox WHERE state = 'dead' AND reviewed_at IS NULL ORDER BY received_at DESC LIMIT 1)
			UNION ALL
			(SELECT received_at, true FROM inbox WHERE state = 'waiting' ORDER BY lane, arrival LIMIT 1)
		) AS seen
		WHERE at BETWEEN now() - $1 * interval '1 hour' AND now()
		GROUP BY 1
		ON CONFLICT (hour) DO UPDATE SET heard = true WHERE excluded.heard AND NOT known.heard`, listenedHours)
	return err
}
