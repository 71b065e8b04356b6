// Package alerts proves the alerts that the shop ships: Prometheus's own parser and
// query engine evaluate deploy/monitoring/alerts.yml over what the program itself
// exposes, while its surroundings are broken and mended. It is all tests: a module of
// its own, so that the product does not depend on Prometheus.
//
// Time is dilated: the program is scraped ten times a second, and every scrape counts
// as the 15 seconds that lie between two scrapes of a real Prometheus.
package alerts
