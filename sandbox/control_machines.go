package sandbox

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"

	"sallyport/sandbox/fault"

	"sallyport/shop"
)

// defaultLatency is that of a slow target of which no other is asked.
const defaultLatency = 500 * time.Millisecond

// machines are the routes by which the parts are broken, mended and looked at.
func (c *control) machines(r chi.Router) {
	r.Get("/world", does(func(*http.Request) (any, error) { return c.world.Ready(), nil }))
	r.Get("/faults", does(c.faults))
	r.Post("/faults", does(c.breakDown))
	r.Delete("/faults/{target}", does(c.mend))
	r.Get("/xray/users", does(c.xrayUsers))
	r.Post("/xray/kill", does(func(*http.Request) (any, error) {
		c.world.Node.Kill()
		return c.xrayState(), nil
	}))
	r.Post("/xray/start", does(c.startXray))
	r.Post("/xray/restart", does(func(r *http.Request) (any, error) {
		err := c.world.Node.Restart(context.WithoutCancel(r.Context())) // half a restart helps nobody
		return c.xrayState(), err
	}))
	r.Get("/product", does(c.ofProduct(func(*http.Request, *product) error { return nil })))
	r.Post("/product/kill", does(c.ofProduct(func(_ *http.Request, p *product) error {
		p.kill()
		return nil
	})))
	r.Post("/product/stop", does(c.ofProduct(func(r *http.Request, p *product) error { return p.stop(context.WithoutCancel(r.Context())) })))
	r.Post("/product/start", does(c.ofProduct(func(_ *http.Request, p *product) error { return p.start() })))
}

// faultState is a fault as the API shows it.
type faultState struct {
	Target    Target     `json:"target"`
	Mode      fault.Mode `json:"mode"`
	LatencyMS int64      `json:"latency_ms,omitempty"`
	Until     *time.Time `json:"until,omitempty"` // absent: until it is deleted
}

func (c *control) faults(*http.Request) (any, error) {
	list := []faultState{}
	for _, target := range Targets() {
		f, on := c.world.Fault(target).Current()
		if !on {
			continue
		}
		state := faultState{Target: target, Mode: f.Mode}
		if f.Mode == fault.Slow {
			state.LatencyMS = f.Latency.Milliseconds()
		}
		if !f.Until.IsZero() {
			state.Until = &f.Until
		}
		list = append(list, state)
	}
	return list, nil
}

func (c *control) breakDown(r *http.Request) (any, error) {
	var in struct {
		Target    Target     `json:"target"`
		Mode      fault.Mode `json:"mode"`
		Seconds   float64    `json:"seconds"`
		LatencyMS *int64     `json:"latency_ms"`
	}
	if err := read(r, &in); err != nil {
		return nil, err
	}
	if err := checkTarget(in.Target); err != nil {
		return nil, err
	}
	latency := defaultLatency
	if in.LatencyMS != nil {
		latency = time.Duration(*in.LatencyMS) * time.Millisecond
	}
	if in.Seconds < 0 || in.Seconds > 86400 || latency < 0 || latency > time.Hour {
		return nil, invalid("seconds, latency_ms: want at most a day and an hour, and nothing negative")
	}
	if err := c.world.Fault(in.Target).Set(in.Mode, latency, time.Duration(in.Seconds*float64(time.Second))); err != nil {
		return nil, err
	}
	return c.faults(r)
}

func (c *control) mend(r *http.Request) (any, error) {
	target := Target(chi.URLParam(r, "target"))
	if err := checkTarget(target); err != nil {
		return nil, err
	}
	c.world.Fault(target).Clear()
	return c.faults(r)
}

func checkTarget(t Target) error {
	if slices.Contains(Targets(), t) {
		return nil
	}
	var names []string
	for _, target := range Targets() {
		names = append(names, string(target))
	}
	return invalid("target %q: want one of %s", t, strings.Join(names, ", "))
}

// xrayUser is someone whom the VPN server lets in.
type xrayUser struct {
	ID   string `json:"id"`
	UUID string `json:"uuid"`
}

// listed is how many of them a page shows at most.
const listed = 1_000_000

// xrayUsers asks the server itself, past the faults.
func (c *control) xrayUsers(r *http.Request) (any, error) {
	if !c.world.Node.Running() {
		return nil, conflict("xray does not run")
	}
	accesses, err := c.world.driver.List(r.Context(), listed)
	if shop.KindOf(err) == shop.KindUnavailable && err != nil {
		accesses, err = c.world.driver.List(r.Context(), listed) // the first call notices that the server was started anew
	}
	if err != nil {
		return nil, &problem{http.StatusFailedDependency, err.Error()}
	}
	list := make([]xrayUser, 0, len(accesses))
	for _, a := range accesses {
		list = append(list, xrayUser{ID: string(a.ID), UUID: a.UUID.String()})
	}
	slices.SortFunc(list, func(a, b xrayUser) int { return strings.Compare(a.ID, b.ID) })
	return list, nil
}

// machineState says how the VPN server's process is.
type machineState struct {
	PID     int  `json:"pid"`
	Running bool `json:"running"`
}

func (c *control) xrayState() machineState {
	x := c.world.Ready().Xray
	return machineState{PID: x.PID, Running: x.PID != 0}
}

func (c *control) startXray(r *http.Request) (any, error) {
	if !c.world.Node.Running() {
		if err := c.world.Node.Restart(context.WithoutCancel(r.Context())); err != nil {
			return nil, err
		}
	}
	return c.xrayState(), nil
}

// ofProduct is an action on the product, answered with its state.
func (c *control) ofProduct(do func(*http.Request, *product) error) action {
	return func(r *http.Request) (any, error) {
		p := c.world.product
		if p == nil {
			return nil, conflict("this world runs without the product")
		}
		err := do(r, p)
		return p.state(), err
	}
}
