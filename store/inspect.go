package store

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Inspection is what an operator should know of the database before the shop uses it.
type Inspection struct {
	Version     string        // of the server, as it says itself
	Major       int           // the first number of it
	ReadOnly    bool          // a standby, or set to refuse writes
	Size        int64         // of our database, in bytes
	Connections int           // that we may have at most, together with the others
	Ours        int           // that sallyport has now, wherever it runs
	Others      int           // that everybody else has now, of those that count against Connections
	Ahead       time.Duration // how far the server's clock is before ours
	Unproved    string        // the host on another machine, if any, that does not have to prove itself by a certificate
}

// Inspect looks at the database through a connection of its own. It changes nothing
// and needs no tables.
func Inspect(ctx context.Context, url string) (Inspection, error) {
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return Inspection{}, errors.New("database url: not a PostgreSQL connection string") // its text holds the password
	}
	config.RuntimeParams["application_name"] = "sallyport inspection"
	config.DefaultQueryExecMode = pgx.QueryExecModeExec // one round trip, so that the clocks compare
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return Inspection{}, translate(fmt.Errorf("connect: %w", err))
	}
	defer conn.Close(context.WithoutCancel(ctx))
	var found Inspection
	if err := found.read(ctx, conn); err != nil {
		return Inspection{}, translate(err)
	}
	found.Unproved = unproved(&config.Config)
	return found, nil
}

// unproved returns the first host of another machine that is believed without a
// certificate for its name (sslmode other than verify-full). A name without a dot is of
// this machine's own network.
func unproved(config *pgconn.Config) string {
	hosts := append([]*pgconn.FallbackConfig{{Host: config.Host, TLSConfig: config.TLSConfig}}, config.Fallbacks...)
	for _, h := range hosts {
		address := net.ParseIP(h.Host)
		isHere := strings.HasPrefix(h.Host, "/") || strings.HasPrefix(h.Host, "@") || address.IsLoopback() ||
			address == nil && !strings.Contains(h.Host, ".")
		if !isHere && (h.TLSConfig == nil || h.TLSConfig.InsecureSkipVerify) {
			return h.Host
		}
	}
	return ""
}

func (i *Inspection) read(ctx context.Context, conn *pgx.Conn) error {
	asked := time.Now()
	var now time.Time
	if err := conn.QueryRow(ctx, `SELECT clock_timestamp()`).Scan(&now); err != nil {
		return fmt.Errorf("read clock: %w", err)
	}
	i.Ahead = now.Sub(asked.Add(time.Since(asked) / 2))
	// A reserve that a version does not know is NULL, and a limit of -1 is none.
	err := conn.QueryRow(ctx, `
		SELECT
			split_part(current_setting('server_version'), ' ', 1),
			current_setting('server_version_num')::int / 10000,
			pg_is_in_recovery() OR current_setting('default_transaction_read_only')::bool,
			pg_database_size(current_database()),
			least(
				current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
					- coalesce(current_setting('reserved_connections', true)::int, 0),
				(SELECT nullif(datconnlimit, -1) FROM pg_database WHERE datname = current_database()),
				(SELECT nullif(rolconnlimit, -1) FROM pg_roles WHERE rolname = current_user)),
			(SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'sallyport %' AND pid <> pg_backend_pid()),
			(SELECT count(*) FROM pg_stat_activity WHERE application_name NOT LIKE 'sallyport %'
				AND datid IS NOT NULL AND coalesce(backend_type, 'client backend') = 'client backend')`).
		Scan(&i.Version, &i.Major, &i.ReadOnly, &i.Size, &i.Connections, &i.Ours, &i.Others)
	if err != nil {
		return fmt.Errorf("read state: %w", err)
	}
	return nil
}
