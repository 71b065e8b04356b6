package main

import (
	"context"
	"fmt"
	"maps"
	"math"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"time"

	"sallyport/tests/load"
)

// span is what a histogram knows of a time: it was at most this long.
type span struct {
	upTo  time.Duration
	known bool
}

// histogram counts, by the upper bounds of its buckets, all that were at most as long.
type histogram map[time.Duration]int

// pools are the histograms of each pool of connections.
type pools map[string]struct{ wait, hold histogram }

// scrape reads the histograms of the pools.
func (s *subject) scrape(ctx context.Context) (pools, error) {
	body, status, err := load.Get(ctx, http.DefaultClient, s.world.Ready().AppURL+"/metrics")
	if err != nil || status != http.StatusOK {
		return nil, fmt.Errorf("metrics: %d %w", status, err)
	}
	found := make(pools)
	line := regexp.MustCompile(`(?m)^sallyport_pool_(acquire_wait|hold)_seconds_bucket\{pool="(\w+)",le="([^"]+)"\} (\d+)$`)
	for _, m := range line.FindAllStringSubmatch(string(body), -1) {
		pool, known := found[m[2]]
		if !known {
			pool.wait, pool.hold = make(histogram), make(histogram)
			found[m[2]] = pool
		}
		bound := load.Beyond
		if seconds, err := strconv.ParseFloat(m[3], 64); err == nil && !math.IsInf(seconds, 1) {
			bound = time.Duration(seconds * float64(time.Second))
		}
		n, err := strconv.Atoi(m[4])
		if err != nil {
			return nil, fmt.Errorf("metrics: %w", err)
		}
		into := pool.wait
		if m[1] == "hold" {
			into = pool.hold
		}
		into[bound] = n
	}
	return found, nil
}

// less returns what was counted since an earlier look.
func (h histogram) less(earlier histogram) histogram {
	d := make(histogram, len(h))
	for bound, n := range h {
		d[bound] = n - earlier[bound]
	}
	return d
}

// at returns the bucket that holds the given part of all.
func (h histogram) at(part float64) span {
	bounds := slices.Sorted(maps.Keys(h))
	if len(bounds) == 0 || h[load.Beyond] == 0 {
		return span{}
	}
	rank := max(1, int(math.Ceil(part*float64(h[load.Beyond]))))
	for _, bound := range bounds {
		if h[bound] >= rank {
			return span{upTo: bound, known: true}
		}
	}
	return span{}
}

// waits are what 99 of 100 acquires waited at most, by pool.
func waits(before, after pools) map[string]span {
	found := make(map[string]span)
	for name, pool := range after {
		found[name] = pool.wait.less(before[name].wait).at(0.99)
	}
	return found
}

// holds are the longest that a connection was held, by pool.
func holds(before, after pools) map[string]span {
	found := make(map[string]span)
	for name, pool := range after {
		found[name] = pool.hold.less(before[name].hold).at(1)
	}
	return found
}
