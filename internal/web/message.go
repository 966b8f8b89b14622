package web

// Message is a page that says something and leads on. Its texts are ids of words with nothing to fill in; the title is its
// heading.
type Message struct{ Text, Link, Href string }

// View is the message as a page with a title, the page's own when it is empty.
func (m Message) View(title string, status int) View {
	return View{Title: title, Template: "message", Data: m, Status: status}
}
