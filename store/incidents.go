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
}

// Incidents returns those that the operator was not told are over.
func (s *Store) Incidents(ctx context.Context) (open []Incident, err error) {
	err = s.use(ctx, "read incidents", func(ctx context.Context, conn *pgxpool.Conn) error {
		rows, err := conn.Query(ctx, `SELECT component, code, reason, since FROM incidents ORDER BY since`)
		if err != nil {
			return err
		}
		open, err = pgx.CollectRows(rows, pgx.RowToStructByName[Incident])
		return err
	})
	return open, err
}

// OpenIncident remembers that the operator was told of it. Safe to repeat.
func (s *Store) OpenIncident(ctx context.Context, i Incident) error {
	_, err := s.exec(ctx, "open incident", `
		INSERT INTO incidents (component, code, reason, since) VALUES ($1, $2, $3, $4) ON CONFLICT (component, code) DO NOTHING`,
		i.Component, i.Code, i.Reason, i.Since)
	return err
}

// CloseIncident remembers that the operator was told that it is over. Safe to repeat.
func (s *Store) CloseIncident(ctx context.Context, component, code string) error {
	_, err := s.exec(ctx, "close incident", `DELETE FROM incidents WHERE component = $1 AND code = $2`, component, code)
	return err
}
