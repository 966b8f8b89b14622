package ops

import (
	"context"
	"regexp"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// Metrics are the measures of one party.
type Metrics struct{ registry *prometheus.Registry }

// NewMetrics makes a registry that holds only what the runtime says of this process.
func NewMetrics() *Metrics {
	m := &Metrics{prometheus.NewRegistry()}
	m.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// words is what may stand in a label: no id of ours, no date, no telephone number with its space, no sentence.
var words = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]{0,63}$`)

func labels(values []string) []string {
	safe := make([]string, len(values))
	for i, v := range values {
		if safe[i] = v; !words.MatchString(v) {
			safe[i] = "other"
		}
	}
	return safe
}

// Counter counts one more of what its labels say, in the order of their names.
type Counter func(values ...string)

// Counter defines a counter. Two definitions of one name, or a bad name, are mistakes in the program and panic.
func (m *Metrics) Counter(name, help string, names ...string) Counter {
	v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, names)
	m.registry.MustRegister(v)
	if len(names) == 0 {
		v.WithLabelValues() // so that it stands there as 0 from the start
	}
	return func(values ...string) { v.WithLabelValues(labels(values)...).Inc() }
}

// Histogram counts how many were at most so many.
type Histogram func(value float64)

// Histogram defines a histogram with the upper bounds of its classes.
func (m *Metrics) Histogram(name, help string, bounds ...float64) Histogram {
	h := prometheus.NewHistogram(prometheus.HistogramOpts{Name: name, Help: help, Buckets: bounds})
	m.registry.MustRegister(h)
	return h.Observe
}

// Gauge is a measure that is read when somebody asks.
type Gauge struct {
	Name, Help string
	Labels     []string
}

// Report takes the value of one of the gauges, with the values of its labels in their order. A gauge that is not
// reported, or whose name was not defined, does not appear.
type Report func(gauge string, value float64, labels ...string)

// Read defines gauges that read reports at every look, within a few seconds. When read fails, the gauges that it had
// not reported yet are missing from that look, and the error is logged.
func (m *Metrics) Read(read func(context.Context, Report) error, gauges ...Gauge) {
	r := &reader{read: read, descs: map[string]*prometheus.Desc{}, failed: prometheus.NewDesc("read_failed", "", nil, nil)}
	for _, g := range gauges {
		r.descs[g.Name] = prometheus.NewDesc(g.Name, g.Help, g.Labels, nil)
	}
	m.registry.MustRegister(r)
}

// reader is a prometheus.Collector over one read function.
type reader struct {
	read   func(context.Context, Report) error
	descs  map[string]*prometheus.Desc
	failed *prometheus.Desc
}

// Describe names the gauges.
func (r *reader) Describe(out chan<- *prometheus.Desc) {
	for _, d := range r.descs {
		out <- d
	}
}

// Collect reads the gauges.
func (r *reader) Collect(out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), askTime*4/5) // before the answer is given up
	defer cancel()
	err := r.read(ctx, func(gauge string, value float64, values ...string) {
		if d := r.descs[gauge]; d != nil {
			out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels(values)...)
		}
	})
	if err != nil {
		out <- prometheus.NewInvalidMetric(r.failed, err)
	}
}

// Since is the seconds from a moment to now, for a gauge; 0 for the zero time and for a moment ahead of the clock.
func Since(moment, now time.Time) float64 {
	if moment.IsZero() || moment.After(now) {
		return 0
	}
	return now.Sub(moment).Seconds()
}
