package postgres

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"strconv"

	"github.com/jackc/pgx/v5"
)

const defaultPort = 5432

// URL is the connection string of a database: over TCP if the cluster listens
// there, otherwise over the socket.
func (c *Cluster) URL(db string) string {
	if !c.cfg.TCP {
		return c.SocketURL(db)
	}
	u := url.URL{
		Scheme:   "postgres",
		User:     url.UserPassword(c.cfg.User, c.password),
		Host:     net.JoinHostPort("127.0.0.1", strconv.Itoa(c.port)),
		Path:     "/" + db,
		RawQuery: "sslmode=disable",
	}
	return u.String()
}

// SocketURL is the connection string of a database over the unix socket. It
// carries no password: who can open the socket is let in.
func (c *Cluster) SocketURL(db string) string {
	query := url.Values{"host": {c.socket}, "port": {strconv.Itoa(c.socketPort())}, "user": {c.cfg.User}}
	u := url.URL{Scheme: "postgres", Path: "/" + db, RawQuery: query.Encode()}
	// url.URL writes no slashes before an empty host; PostgreSQL's form has them.
	return "postgres://" + u.EscapedPath() + "?" + u.RawQuery
}

// socketPort is part of the socket's name.
func (c *Cluster) socketPort() int {
	if c.port == 0 {
		return defaultPort
	}
	return c.port
}

// Addr is the server's TCP address, empty without TCP.
func (c *Cluster) Addr() string {
	if !c.cfg.TCP {
		return ""
	}
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(c.port))
}

// CreateDatabase creates a database, as a copy of template unless that is
// empty. Nobody may be connected to the template meanwhile. A database of this
// name must not exist.
func (c *Cluster) CreateDatabase(ctx context.Context, name, template string) error {
	sql := "CREATE DATABASE " + pgx.Identifier{name}.Sanitize()
	if template != "" {
		sql += " TEMPLATE " + pgx.Identifier{template}.Sanitize()
	}
	if err := c.exec(ctx, sql); err != nil {
		return fmt.Errorf("create database %s: %w", name, err)
	}
	return nil
}

// EnsureDatabase creates an empty database unless it exists.
func (c *Cluster) EnsureDatabase(ctx context.Context, name string) error {
	var exists bool
	err := c.session(ctx, func(conn *pgx.Conn) error {
		const sql = "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)"
		return conn.QueryRow(ctx, sql, name).Scan(&exists)
	})
	if err != nil {
		return fmt.Errorf("look for database %s: %w", name, err)
	}
	if exists {
		return nil
	}
	return c.CreateDatabase(ctx, name, "")
}

// DropDatabase removes a database, cutting its connections. A missing one is no error.
func (c *Cluster) DropDatabase(ctx context.Context, name string) error {
	if err := c.exec(ctx, "DROP DATABASE IF EXISTS "+pgx.Identifier{name}.Sanitize()+" WITH (FORCE)"); err != nil {
		return fmt.Errorf("drop database %s: %w", name, err)
	}
	return nil
}

func (c *Cluster) exec(ctx context.Context, sql string) error {
	return c.session(ctx, func(conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, sql)
		return err
	})
}

// session lends a connection to the maintenance database.
func (c *Cluster) session(ctx context.Context, do func(*pgx.Conn) error) error {
	conn, err := pgx.Connect(ctx, c.SocketURL("postgres"))
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	return do(conn)
}
