package sandbox_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sallyport/sandbox"
	"sallyport/sandbox/postgres"
	"sallyport/sandbox/telegram"
)

// failoverLimit is how long the shop may take from the promotion until somebody buys again.
const failoverLimit = 15 * time.Second

// The server of the database dies in the middle of sales, and its standby takes over;
// later it comes back as the standby of the other, and takes over again. Nothing that was
// acknowledged is lost or done twice, and the shop goes on without a restart.
func TestAStandbyOfTheDatabaseTakesOver(t *testing.T) {
	t.Parallel()
	g := newGalaxy(t, sandbox.Config{Standby: true})
	g.must(newCustomer(g.w, 7).buys(g.ctx))
	var next atomic.Int64
	next.Store(100)
	failOver := func(primary, standby *postgres.Cluster) {
		t.Helper()
		selling, stop := context.WithCancel(g.ctx)
		var crowd sync.WaitGroup
		for range 4 {
			crowd.Go(func() {
				for selling.Err() == nil {
					p := newCustomer(g.w, next.Add(1))
					p.stars = p.id%2 == 0
					err := p.buys(g.ctx)
					if _, refused := errors.AsType[*telegram.RefusedError](err); err != nil && !refused { // who is refused has paid nothing
						t.Error(err)
						return
					}
				}
			})
		}
		sold := func() int { return g.books.count(`SELECT count(*) FROM orders WHERE status = 'paid'`) }
		began := sold()
		eventually(t, func() error {
			if n := sold(); n < began+8 {
				return fmt.Errorf("%d are sold", n-began)
			}
			return nil
		})
		primary.Kill()
		eventually(t, func() error {
			if status, _ := ask[map[string]any](t, http.MethodGet, g.w.Ready().AppURL+"/readyz", ""); status == http.StatusOK {
				return errors.New("the shop has not noticed")
			}
			return nil
		})
		g.must(standby.Promote(g.ctx))
		promoted := time.Now()
		g.must(newCustomer(g.w, next.Add(1)).buys(g.ctx))
		if took := time.Since(promoted); took > failoverLimit {
			t.Errorf("somebody bought %s after the promotion", took)
		} else {
			t.Logf("somebody bought %s after the promotion", took.Round(time.Millisecond))
		}
		stop()
		crowd.Wait()
	}
	failOver(g.w.Postgres, g.w.Standby)
	g.allDone()
	g.must(g.w.Postgres.Follow(g.ctx, g.w.Standby))
	g.must(g.w.Standby.Synchronise(g.ctx))
	failOver(g.w.Standby, g.w.Postgres)
	g.allDone()
	if _, product := ask[sandbox.ProductState](t, http.MethodGet, g.w.Ready().ControlURL+"/product", ""); product.Starts != 1 {
		t.Errorf("the shop was started %d times", product.Starts)
	}
}
