package engine

import (
	"context"
	"testing"
)

func TestSmoke(t *testing.T) {
	e, err := New(context.Background(), Config{})
	if err != nil {
		t.Fatal(err)
	}
	for n, in := range samples() {
		d, js := e.Decide(context.Background(), in)
		t.Log(n, d, len(js))
	}
}
func BenchmarkDecide(b *testing.B) {
	e, err := New(context.Background(), Config{})
	if err != nil {
		b.Fatal(err)
	}
	in := family()
	b.ReportAllocs()
	for b.Loop() {
		e.Decide(context.Background(), in)
	}
}
func BenchmarkValue(b *testing.B) {
	in := family()
	b.ReportAllocs()
	for b.Loop() {
		in.value()
	}
}
func BenchmarkJSON(b *testing.B) {
	v := family().value()
	b.ReportAllocs()
	for b.Loop() {
		marshal(v)
	}
}
func BenchmarkEval(b *testing.B) {
	e, err := New(context.Background(), Config{})
	if err != nil {
		b.Fatal(err)
	}
	in := family()
	v := in.value()
	b.ReportAllocs()
	for b.Loop() {
		e.evaluate(in, v, e.timeout)
	}
}
