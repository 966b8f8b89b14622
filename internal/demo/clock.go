package demo

import (
	"sync"
	"time"
	_ "time/tzdata" // the hours of a front door are London's, on machines without a time zone database too
)

// clock is what all parties of a stage go by: the machine's, ahead by as much as the stories have moved it. It goes on
// by itself, so that what is tried again later is tried again.
type clock struct {
	mu    sync.Mutex // owns ahead
	ahead time.Duration
}

// Now is the time on the stage.
func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.ahead)
}

// move lets time pass.
func (c *clock) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead += d
}

// at moves the clock on to the next time that it is this hour and minute of a day in London.
func (c *clock) at(hour, minute int) error {
	london, err := time.LoadLocation("Europe/London")
	if err != nil {
		return err
	}
	now := c.Now().In(london)
	then := time.Date(now.Year(), now.Month(), now.Day(), hour, minute, 0, 0, london)
	if !then.After(now) {
		then = time.Date(now.Year(), now.Month(), now.Day()+1, hour, minute, 0, 0, london)
	}
	c.move(then.Sub(now))
	return nil
}
