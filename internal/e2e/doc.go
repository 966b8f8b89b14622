// Package e2e reads every page of every site in a real browser, as its user would: with a screen reader's rules, without
// scripts, on a narrow screen, on paper, with the keyboard.
//
// A site is what serves it, who can sign in to it, and its stops: pages in the states that matter. Every stop is held to
// the same: no fault that axe finds of WCAG 2.2 AA; nothing to scroll sideways at 320 pixels; a paper without what only a
// screen can use; the same words and controls without scripts, and a form that can be sent; faults in a summary that has
// the focus and leads to each field; no error on the console, nothing the content security policy stopped, no request to
// anybody else; no name of an invented person in a title or an address. Each check is first seen to find a broken page.
// Every stop leaves a screenshot and a PDF in the folder screenshots, which is not committed.
//
// It is tests alone, under the build tag `e2e`, since it needs Chromium and the packages of make assets; it says so and
// fails where they are missing. A new site is a file here with a function that returns it, named in sites.
package e2e
