package store

import (
	"context"
	"crypto/cipher"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/zap"

	"sallyport/shop"
)

const (
	// lockLease is how long a lock outlives the last word of its holder.
	lockLease = 15 * time.Second
	// lockRenew is how often the holder of a lock prolongs it.
	lockRenew = 5 * time.Second
	// lockPoll is how often one who waits for a lock tries to take it.
	lockPoll = 250 * time.Millisecond
	// unlockBudget bounds giving back a lock, whose holder may have been told to stop.
	unlockBudget = 3 * time.Second
)

// Certificates keeps certificates, their keys and the account at the CA, so that all
// replicas serve one certificate and order it once. It implements certmagic.Storage:
// certmagic gives the keys and wants fs.ErrNotExist for those that are not there.
//
// A value is sealed before it leaves the process, and its key is sealed with it: who
// reads the table learns no private key, and a value moved to another key, changed,
// or sealed with another APP_KEY is refused.
type Certificates struct {
	store *Store
	seal  cipher.AEAD

	mu   sync.Mutex
	held map[string]heldLock
}

// heldLock is a lock of this process.
type heldLock struct {
	holder string
	letGo  context.CancelFunc
	ended  chan struct{} // closed once nobody renews it any more
}

var (
	_ certmagic.Storage   = (*Certificates)(nil)
	_ certmagic.TryLocker = (*Certificates)(nil)
)

// NewCertificates returns Certificates in s whose values are sealed with a key
// derived from appKey, which must be 32 random bytes.
func NewCertificates(s *Store, appKey []byte) (*Certificates, error) {
	seal, err := newSeal(appKey)
	if err != nil {
		return nil, err
	}
	return &Certificates{store: s, seal: seal, held: make(map[string]heldLock)}, nil
}

// String names the storage, and nothing in it, wherever it is logged.
func (c *Certificates) String() string { return "PostgreSQL" }

// Store keeps value at key.
func (c *Certificates) Store(ctx context.Context, key string, value []byte) error {
	sealed := c.seal.Seal(nil, nil, value, []byte(key)) //nolint:gosec // it makes a nonce of its own for each value
	_, err := c.store.exec(ctx, "store tls file", `
		INSERT INTO tls_files (key, value) VALUES ($1, $2)
		ON CONFLICT (key) DO UPDATE SET value = excluded.value, modified_at = now()`, key, sealed)
	return err
}

// Load returns what is kept at key.
func (c *Certificates) Load(ctx context.Context, key string) ([]byte, error) {
	var sealed [][]byte
	err := c.store.use(ctx, "load tls file", func(ctx context.Context, conn *pgxpool.Conn) (err error) {
		sealed, err = column[[]byte](ctx, conn, `SELECT value FROM tls_files WHERE key = $1`, key)
		return err
	})
	if err != nil {
		return nil, err
	}
	if len(sealed) == 0 {
		return nil, fmt.Errorf("tls file %s: %w", key, fs.ErrNotExist)
	}
	value, err := c.seal.Open(nil, nil, sealed[0], []byte(key))
	if err != nil {
		return nil, fmt.Errorf("tls file %s: %w", key, errSealBroken)
	}
	return value, nil
}

// Delete removes what is kept at key and below it. It is not an error if nothing is.
func (c *Certificates) Delete(ctx context.Context, key string) error {
	_, err := c.store.exec(ctx, "delete tls file", `
		DELETE FROM tls_files WHERE key = $1 OR starts_with(key, $1 || '/')`, key)
	return err
}

// Exists says whether something is kept at key or below it.
func (c *Certificates) Exists(ctx context.Context, key string) bool {
	_, err := c.Stat(ctx, key)
	return err == nil
}

// List returns the keys below a path: all of them, or the first level alone.
func (c *Certificates) List(ctx context.Context, dir string, recursive bool) (keys []string, err error) {
	below := strings.Trim(dir, "/")
	if below != "" {
		below += "/"
	}
	err = c.store.use(ctx, "list tls files", func(ctx context.Context, conn *pgxpool.Conn) (err error) {
		keys, err = column[string](ctx, conn, `
			SELECT DISTINCT CASE WHEN $2 THEN key ELSE $1::text || split_part(substr(key, length($1) + 1), '/', 1) END
			FROM tls_files WHERE starts_with(key, $1) ORDER BY 1`, below, recursive)
		return err
	})
	if err == nil && len(keys) == 0 {
		return nil, fmt.Errorf("tls files below %s: %w", dir, fs.ErrNotExist)
	}
	return keys, err
}

// tlsFile is what Stat reads of a key.
type tlsFile struct {
	Size       int64
	ModifiedAt time.Time
	IsFile     bool
}

// Stat tells about what is kept at key; a key that only leads to others is not terminal.
func (c *Certificates) Stat(ctx context.Context, key string) (certmagic.KeyInfo, error) {
	var file tlsFile
	err := c.store.use(ctx, "stat tls file", func(ctx context.Context, conn *pgxpool.Conn) (err error) {
		missing := &shop.Error{Kind: shop.KindNotFound, Key: "not_found", Err: fs.ErrNotExist}
		file, err = one[tlsFile](ctx, conn, missing, `
			SELECT octet_length(value)::bigint AS size, modified_at, key = $1 AS is_file FROM tls_files
			WHERE key = $1 OR starts_with(key, $1 || '/') ORDER BY is_file DESC LIMIT 1`, key)
		return err
	})
	if err != nil {
		return certmagic.KeyInfo{}, err
	}
	info := certmagic.KeyInfo{Key: path.Clean(key), Modified: file.ModifiedAt, IsTerminal: file.IsFile}
	if file.IsFile {
		info.Size = file.Size - int64(c.seal.Overhead())
	}
	return info, nil
}

// Lock waits until the lock is ours or ctx ends. It is a row with a lease, which is
// renewed until Unlock: no connection is held, and a dead process loses it by itself.
func (c *Certificates) Lock(ctx context.Context, name string) error {
	for {
		ours, err := c.TryLock(ctx, name)
		if ours || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("lock %s: %w", name, context.Cause(ctx))
		case <-time.After(lockPoll):
		}
	}
}

// TryLock takes the lock if nobody has it.
func (c *Certificates) TryLock(ctx context.Context, name string) (bool, error) {
	holder := uuid.NewString()
	taken, err := c.store.exec(ctx, "lock tls", `
		INSERT INTO tls_locks (name, holder, leased_until) VALUES ($1, $2, now() + $3::interval)
		ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, leased_until = excluded.leased_until
		WHERE tls_locks.leased_until NOT BETWEEN now() AND now() + $4::interval`, name, holder, lockLease, farthest)
	if err != nil || taken == 0 {
		return false, err
	}
	renewing, letGo := context.WithCancel(context.WithoutCancel(ctx)) // until Unlock, which may come after ctx has ended
	lock := heldLock{holder: holder, letGo: letGo, ended: make(chan struct{})}
	c.mu.Lock()
	c.held[name] = lock
	c.mu.Unlock()
	go c.renew(renewing, name, lock)
	return true, nil
}

// renew prolongs the lease until ctx ends or the lock is another's.
func (c *Certificates) renew(ctx context.Context, name string, lock heldLock) {
	defer close(lock.ended)
	tick := time.NewTicker(lockRenew)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		kept, err := c.store.exec(ctx, "renew tls lock", `
			UPDATE tls_locks SET leased_until = now() + $3::interval WHERE name = $1 AND holder = $2`, name, lock.holder, lockLease)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			c.store.cfg.Logger.Warn("lock of a certificate not renewed", zap.NamedError("err", err))
		case kept == 0:
			c.store.cfg.Logger.Warn("lock of a certificate lost to another process")
			return
		}
	}
}

// Unlock gives the lock back, also when ctx has ended. What another has taken over
// meanwhile stays theirs.
func (c *Certificates) Unlock(ctx context.Context, name string) error {
	c.mu.Lock()
	lock, ours := c.held[name]
	delete(c.held, name)
	c.mu.Unlock()
	if !ours {
		return fmt.Errorf("unlock %s: %w", name, errNotLocked)
	}
	lock.letGo()
	<-lock.ended
	ctx, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), unlockBudget, errors.New("lock not given back in time"))
	defer cancel()
	_, err := c.store.exec(ctx, "unlock tls", `DELETE FROM tls_locks WHERE name = $1 AND holder = $2`, name, lock.holder)
	return err
}

var (
	errSealBroken = errors.New("cannot be opened: changed, or sealed with another APP_KEY")
	errNotLocked  = errors.New("not locked by this process")
)
