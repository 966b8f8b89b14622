package engine

import (
	"slices"

	"postern/internal/consent"
	"postern/internal/section"
)

// SentBefore says by which notification the same content was shared before; "" for none.
func (in *Input) SentBefore(notificationID string) {
	in.AlreadyNotified, in.FirstNotification = notificationID != "", notificationID
}

// OfferOnly leaves these paths as all that is offered: a decision made again can then only be narrower.
func (in *Input) OfferOnly(paths []string) {
	in.eachSection(func(child int, s *Sections) {
		s.Offered = slices.DeleteFunc(s.Offered, func(name string) bool { return !slices.Contains(paths, sectionPath(child, name)) })
	})
}

// OnlyChildren leaves the facts of these children.
func (in *Input) OnlyChildren(numbers []int) {
	in.Children = slices.DeleteFunc(in.Children, func(c Child) bool { return !slices.Contains(numbers, c.Number) })
}

// PassedOn makes it a notification that another team passes on to the recipient of now: whether it said the same before
// is about the first recipient, and says nothing here.
func (in *Input) PassedOn() {
	in.Redirected = true
	in.SentBefore("")
}

// Withdraw takes what the person withdrew out of what the permission covers: paths as in a withdrawal, none for all.
func (in *Input) Withdraw(paths []string) {
	in.eachSection(func(child int, s *Sections) {
		s.Permitted = slices.DeleteFunc(s.Permitted, func(name string) bool { return consent.Withdrawn(paths, sectionPath(child, name)) })
	})
}

func (in *Input) eachSection(fn func(child int, s *Sections)) {
	fn(0, &in.Parent)
	for i := range in.Children {
		fn(in.Children[i].Number, &in.Children[i].Sections)
	}
}

// Renew takes what changes with the hour from an Input made just now: the moment, the parties, the agreement. The
// statement's own facts stay as they were.
func (in *Input) Renew(now *Input) {
	in.Now, in.Today, in.Caller, in.Recipient, in.Agreement = now.Now, now.Today, now.Caller, now.Recipient, now.Agreement
}

// sectionPath is the path of a section of a child, or of the parent for 0, by its name in an Input.
func sectionPath(child int, name string) string {
	all := section.Of(child > 0)
	i := slices.IndexFunc(all, func(s section.Section) bool { return s.Name == name })
	if i < 0 {
		return ""
	}
	return all[i].Path(child)
}
