package ui

import (
	"cmp"
	"html/template"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Words are a text with classes of its own.
type Words struct {
	Text    Content
	Classes string
}

// Action is a link beside what it changes.
type Action struct {
	Text               Content
	Href               string
	VisuallyHiddenText string // what the link changes, for a screen reader
	Classes            string
	Attributes         Attributes
}

// Actions are the links beside a row or a card.
type Actions struct {
	Items   []Action
	Classes string
}

// SummaryRow is one answer of a SummaryList.
type SummaryRow struct {
	Key, Value Words
	Actions    Actions
	Classes    string
}

// CardTitle is the heading of a card.
type CardTitle struct {
	Text         Content
	HeadingLevel int // 2 by default
	Classes      string
}

// Card is a box with a heading around a SummaryList.
type Card struct {
	Title      *CardTitle
	Actions    Actions
	Classes    string
	Attributes Attributes
}

// SummaryList is answers under their questions, with ways to change them.
type SummaryList struct {
	Rows       []SummaryRow
	Card       *Card
	Classes    string
	Attributes Attributes
}

// carded is an action that says which card it belongs to.
type carded struct {
	Action
	Card Content
}

type cardedActions struct {
	Items   []carded
	Classes string
}

func (a Actions) of(card Content) cardedActions {
	made := cardedActions{Classes: a.Classes}
	for _, action := range a.Items {
		made.Items = append(made.Items, carded{action, card})
	}
	return made
}

// HTML is the component as a browser gets it.
func (s SummaryList) HTML() template.HTML {
	type row struct {
		SummaryRow
		Actions cardedActions
	}
	type card struct {
		Card
		Actions cardedActions
	}
	data := struct {
		SummaryList
		Rows       []row
		Card       *card
		HasActions bool
	}{SummaryList: s}
	var title Content
	if s.Card != nil {
		if s.Card.Title != nil {
			title = s.Card.Title.Text
		}
		data.Card = &card{*s.Card, s.Card.Actions.of(title)}
	}
	for _, r := range s.Rows {
		data.Rows = append(data.Rows, row{r, r.Actions.of(title)})
		data.HasActions = data.HasActions || len(r.Actions.Items) > 0
	}
	return render("summary-list", data)
}

// Cell is a cell of a Table.
type Cell struct {
	Text             Content
	Format           string // numeric
	Colspan, Rowspan int
	Classes          string
	Attributes       Attributes
}

// Table is rows under the heads of their columns.
type Table struct {
	Caption           string
	CaptionClasses    string
	Head              []Cell
	Rows              [][]Cell
	FirstCellIsHeader bool
	Classes           string
	Attributes        Attributes
	Stack             bool // on a narrow screen a row is a block, each cell behind the words of its column
}

// HTML is the component as a browser gets it.
func (t Table) HTML() template.HTML {
	if t.Stack {
		t = t.stacked()
	}
	return render("table", t)
}

// stacked gives each cell the words of its column, which the styles show on a narrow screen. A table that is no longer
// laid out as one is none for a screen reader either, so it says by its roles what it is.
func (t Table) stacked() Table {
	as := func(given Attributes, name, value string) Attributes {
		all := maps.Clone(given)
		if all == nil {
			all = Attributes{}
		}
		all[name] = value
		return all
	}
	t.Classes = join(t.Classes, "app-table-stacks")
	t.Attributes = as(t.Attributes, "role", "table")
	t.Head, t.Rows = slices.Clone(t.Head), slices.Clone(t.Rows)
	for i := range t.Head {
		t.Head[i].Attributes = as(t.Head[i].Attributes, "role", "columnheader")
	}
	for n, row := range t.Rows {
		row = slices.Clone(row)
		for i, c := range row {
			title := t.FirstCellIsHeader && i == 0
			role := "cell"
			if title {
				role = "rowheader"
			}
			row[i].Attributes = as(c.Attributes, "role", role)
			if label, ok := column(t.Head, i); ok && !title && c.Colspan == 0 {
				row[i].Attributes["data-label"] = label
			}
		}
		t.Rows[n] = row
	}
	return t
}

// column is what stands before a cell of a column, where its head is words: "Due:", "Went?".
func column(head []Cell, i int) (string, bool) {
	if i >= len(head) {
		return "", false
	}
	text, ok := head[i].Text.(string)
	if ok && text != "" && !strings.HasSuffix(text, "?") {
		text += ":"
	}
	return text, text != ""
}

// TabPanel is what shows under a tab.
type TabPanel struct {
	Text       Content
	Attributes Attributes
}

// Tab is one of several panels.
type Tab struct {
	ID         string // made of the prefix by default
	Label      string
	Panel      TabPanel
	Attributes Attributes
}

// Tabs show one panel at a time; without scripts, all under one another.
type Tabs struct {
	ID, IDPrefix string
	Title        string // "Contents" by default
	Items        []Tab
	Classes      string
	Attributes   Attributes
}

// HTML is the component as a browser gets it.
func (t Tabs) HTML() template.HTML {
	t.Items = slices.Clone(t.Items)
	for i := range t.Items {
		t.Items[i].ID = cmp.Or(t.Items[i].ID, t.IDPrefix+"-"+strconv.Itoa(i+1))
	}
	return render("tabs", t)
}

// TaskStatus is how far a task is.
type TaskStatus struct {
	Tag     *Tag
	Text    Content
	Classes string
}

// Task is one task of a TaskList; without an Href it cannot be begun yet.
type Task struct {
	Title   Words
	Hint    *Hint
	Status  TaskStatus
	Href    string
	Classes string
}

// TaskList is what there is to do, in any order.
type TaskList struct {
	IDPrefix   string // task-list by default
	Items      []Task
	Classes    string
	Attributes Attributes
}

// HTML is the component as a browser gets it.
func (t TaskList) HTML() template.HTML {
	type task struct {
		Task
		ID string
	}
	var items []task
	for i, item := range t.Items {
		items = append(items, task{item, cmp.Or(t.IDPrefix, "task-list") + "-" + strconv.Itoa(i+1)})
	}
	return render("task-list", struct {
		TaskList
		Items []task
	}{t, items})
}

// PageLink is a page of a long list, or a gap between pages.
type PageLink struct {
	Number             string
	Href               string
	VisuallyHiddenText string // "Page" and the number by default
	Current, Ellipsis  bool
	Attributes         Attributes
}

// NextLink leads to the next page or the one before.
type NextLink struct {
	Text       Content // "Next page" or "Previous page" by default
	Href       string
	LabelText  string
	Attributes Attributes
}

// Pagination leads through the pages of a long list.
type Pagination struct {
	Items          []PageLink
	Previous, Next NextLink
	LandmarkLabel  string // "Pagination" by default
	Classes        string
	Attributes     Attributes
}

// Block reports whether there are only next and previous, one under the other.
func (p Pagination) Block() bool {
	return len(p.Items) == 0 && (p.Next.Href != "" || p.Previous.Href != "")
}

// HTML is the component as a browser gets it.
func (p Pagination) HTML() template.HTML { return render("pagination", p) }

// Event is something that happened.
type Event struct {
	Label      Content
	Byline     Content // who, with the word before it
	Time       string  // as a machine reads it
	Date       string  // as a person reads it
	Text       Content
	Classes    string
	Attributes Attributes
}

// Timeline is what happened, the newest first. It is MoJ Frontend's.
type Timeline struct {
	Items        []Event
	HeadingLevel int // 2 by default
	Classes      string
	Attributes   Attributes
}

// Level is the level of the headings.
func (t Timeline) Level() int { return cmp.Or(t.HeadingLevel, 2) }

// HTML is the component as a browser gets it.
func (t Timeline) HTML() template.HTML { return render("timeline", t) }
