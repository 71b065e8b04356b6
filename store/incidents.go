package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Incident is something wrong that the operator has been told of.
type Incident struct {
	Component string
	Code      string
	Reason    string
	Since     time.Time
	Count     int       // of what waits for the operator, when they were told last
	Told      time.Time // when that was
}

// Incidents returns those that the operator was not told are over.
func (s *Store) Incidents(ctx context.Context) (open []Incident, err error) {
	err = s.use(ctx, "read incidents", func(ctx context.Context, conn *pgxpool.Conn) error {
		rows, err := conn.Query(ctx, `SELECT component, code, reason, since, count, told_at AS told FROM incidents ORDER BY since`)
		if err != nil {
			return err
		}
		open, err = pgx.CollectRows(rows, pgx.RowToStructByName[Incident])
		return err
	})
	return open, err
}

// OpenIncident remembers when the operator was told of it last, and of how much. Safe to
// repeat.
func (s *Store) OpenIncident(ctx context.Context, i Incident) error {
	_, err := s.exec(ctx, "open incident", `
		INSERT INTO incidents (component, code, reason, since, count, told_at) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (component, code) DO UPDATE SET count = excluded.count, told_at = excluded.told_at`,
		i.Component, i.Code, i.Reason, i.Since, i.Count, i.Told)
	return err
}

// CloseIncident remembers that the operator was told that it is over. Safe to repeat.
func (s *Store) CloseIncident(ctx context.Context, component, code string) error {
	_, err := s.exec(ctx, "close incident", `DELETE FROM incidents WHERE component = $1 AND code = $2`, component, code)
	return err
}
