// First thing in the body, so that what only works with JavaScript does not flash. In a file of its own since the content
// security policy lets nothing run inline.
document.body.classList.add('js-enabled');
if ('noModule' in HTMLScriptElement.prototype) {
  document.body.classList.add('govuk-frontend-supported');
}
