package main

func (b *bench) appends() error { return nil }
func (b *bench) longLog() error { return nil }
func (b *bench) replay() error { return nil }
func (b *bench) demo() error { return nil }
