package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"sallyport/migrations"
	"sallyport/shop"
	"sallyport/store"
)

// checkDatabase looks at the server, and then at the schema.
func (d *doctor) checkDatabase(ctx context.Context, c *check) {
	ctx, cancel := context.WithTimeoutCause(ctx, callBudget, fmt.Errorf("no answer in %s", callBudget))
	defer cancel()
	found, err := store.Inspect(ctx, string(d.config.DatabaseURL))
	if err != nil {
		judgeConnecting(ctx, err, c)
		return
	}
	d.judgeServer(found, c)
	steps, err := migrations.Status(ctx, string(d.config.DatabaseURL))
	if err != nil {
		c.add(fails, "the schema cannot be read: "+causeOf(err), "see that the user of DATABASE_URL owns the tables")
		return
	}
	judgeSchema(steps, c)
}

// judgeConnecting says what to do about a database that does not let us in.
func judgeConnecting(ctx context.Context, err error, c *check) {
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	refused, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		c.add(fails, "it does not answer: "+causeOf(err), "see that PostgreSQL runs, and that host and port in DATABASE_URL are right")
		return
	}
	todo := map[string]string{
		"28P01": "the password in DATABASE_URL is wrong: ALTER ROLE ... PASSWORD sets another",
		"28000": "allow the user of DATABASE_URL in pg_hba.conf, and make it (CREATE ROLE ... LOGIN)",
		"3D000": "make the database: CREATE DATABASE ... OWNER the user of DATABASE_URL",
		"53300": "all connections are taken: raise max_connections, or let others have fewer",
		"57P03": "it starts or stops: look again in a minute",
	}[refused.Code]
	if todo == "" {
		todo = "see PostgreSQL's log"
	}
	c.add(fails, "it refuses us: "+refused.Message, todo)
}

const (
	// oldestServer is the first version of PostgreSQL that the shop is tested with.
	oldestServer = 15
	// clockSlack is how far the clocks may differ before it is said.
	clockSlack = time.Second
)

func (d *doctor) judgeServer(found store.Inspection, c *check) {
	c.add(well, fmt.Sprintf("PostgreSQL %s, %.1f MiB", found.Version, float64(found.Size)/(1<<20)), "")
	if found.Major < oldestServer {
		c.add(fails, fmt.Sprintf("the server is older than %d", oldestServer), "upgrade PostgreSQL")
	}
	if found.ReadOnly {
		c.add(fails, "it takes no writes: it is a standby, or set to read only", "let DATABASE_URL lead to the primary (target_session_attrs=read-write)")
	}
	if found.Unproved != "" {
		c.add(warns, found.Unproved+" need not prove who it is, and may be spoken to in the clear",
			"add sslmode=verify-full to DATABASE_URL, and sslrootcert=FILE if its certificate is by a CA of its own")
	}
	d.judgeConnections(found, c)
	apart := found.Ahead.Round(time.Millisecond)
	const setClocks = "set both clocks by NTP: timedatectl set-ntp true"
	switch {
	case apart.Abs() > shop.ClockLimit:
		c.add(fails, "its clock differs from this machine's by "+apart.String(), setClocks)
	case apart.Abs() > clockSlack:
		c.add(warns, "its clock differs from this machine's by "+apart.String(), setClocks)
	}
}

// connectionsApart are those beside the pools: two of health, and the one on which the job
// queue is told of new jobs.
const connectionsApart = 3

// judgeConnections compares what the server allows with what the pools may take. Those
// of a shop that runs are part of what it wants, or it is more shops than one.
func (d *doctor) judgeConnections(found store.Inspection, c *check) {
	want := int(d.config.WebConns+d.config.WorkConns) + connectionsApart
	if d.config.TLS == tlsACME && d.config.TLSStorage == inPostgres {
		want += tlsConnections
	}
	said := fmt.Sprintf("the shop wants %d of %d connections, others have %d", max(want, found.Ours), found.Connections, found.Others)
	const todo = "raise max_connections of PostgreSQL, or lower DB_WEB_CONNECTIONS and DB_WORK_CONNECTIONS"
	switch {
	case want > found.Connections:
		c.add(fails, said, todo)
	case max(want, found.Ours)+found.Others > found.Connections:
		c.add(warns, said, todo)
	default:
		c.add(well, said, "")
	}
}

func judgeSchema(steps []migrations.Step, c *check) {
	pending := 0
	for _, s := range steps {
		if s.Pending() {
			pending++
		}
	}
	switch {
	case slices.ContainsFunc(steps, migrations.Step.Unknown):
		c.add(fails, "the schema is newer than this program", "run the newer sallyport, whose steps these are: sallyport migrate status")
	case pending > 0:
		c.add(warns, fmt.Sprintf("%d of %d steps of the schema are pending", pending, len(steps)), "sallyport migrate up; the shop does it as well when it starts")
	default:
		c.add(well, fmt.Sprintf("schema up to date, %d steps", len(steps)), "")
	}
}
