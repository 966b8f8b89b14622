// What the pages do when JavaScript runs. Every page works without it.
import { Button, CharacterCount, Checkboxes, ErrorSummary, NotificationBanner, Radios, ServiceNavigation, SkipLink, Tabs, createAll } from 'govuk-frontend';

for (const component of [Button, CharacterCount, Checkboxes, ErrorSummary, NotificationBanner, Radios, ServiceNavigation, SkipLink, Tabs]) {
  createAll(component);
}

// The link past the header and the tabs leave a place of the page in its address, and a form that is sent takes it along.
// When the page with its faults has loaded, the browser goes to that place and takes the focus from them: they get it back.
window.addEventListener('load', () => {
  const faults = document.querySelector('.govuk-error-summary');
  if (faults && window.location.hash) { faults.tabIndex = -1; faults.focus(); }
});

// The warning that a session ends is in the page from the start, as a sentence with the time. Five minutes before the
// end it comes to the front, and is read out; at the end the page goes, for the next person at a shared machine must not
// find it. Staying opens another tab, so that what is half written here stays, and starts the time again.
for (const session of document.querySelectorAll('[data-session-ends-in]')) {
  const whole = Number(session.dataset.sessionEndsIn) * 1000;
  const warning = session.querySelector('[data-session-warning]');
  let timers = [];
  const start = () => {
    timers.forEach(clearTimeout);
    warning.hidden = true;
    timers = [
      setTimeout(() => { warning.hidden = false; warning.setAttribute('role', 'alert'); }, Math.max(0, whole - 5 * 60 * 1000)),
      setTimeout(() => window.location.replace(session.dataset.sessionEnded), whole + 1000),
    ];
  };
  session.querySelectorAll('[data-session-extend]').forEach((link) => link.addEventListener('click', start));
  start();
}

// A page that the browser kept whole, for going back, may be somebody else's by now, or its session over: ask again.
window.addEventListener('pageshow', (event) => {
  if (event.persisted) { window.location.reload(); }
});

for (const button of document.querySelectorAll('[data-app-print]')) {
  button.hidden = false;
  button.addEventListener('click', () => window.print());
}

for (const button of document.querySelectorAll('[data-app-copy]')) {
  const from = document.getElementById(button.dataset.appCopy);
  if (!from || !navigator.clipboard) { continue; }
  button.hidden = false;
  button.addEventListener('click', async () => {
    const parts = [...from.children].filter((e) => !e.matches('form, .app-no-print')); // what can be done on a page is no part of what it says
    await navigator.clipboard.writeText(parts.map((e) => e.innerText.trim()).filter((text) => text).join('\n\n'));
    const said = document.getElementById(button.dataset.appCopied);
    if (said) { said.hidden = false; }
  });
}
