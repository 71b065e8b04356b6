package sandbox

import (
	"net/http"

	"github.com/go-chi/chi/v5"
)

// Routes lists the control API's routes, as "METHOD /path".
func Routes() ([]string, error) {
	r := chi.NewRouter()
	c := &control{world: new(World)}
	c.people(r)
	c.money(r)
	c.machines(r)
	var routes []string
	err := chi.Walk(r, func(method, route string, _ http.Handler, _ ...func(http.Handler) http.Handler) error {
		routes = append(routes, method+" "+route)
		return nil
	})
	return routes, err
}
