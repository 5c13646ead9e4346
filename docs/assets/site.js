// Tables that scroll can be reached by keyboard. The theme wraps them after the page has loaded.
function makeScrollable() {
  for (const element of document.querySelectorAll(".md-typeset__scrollwrap")) element.tabIndex = 0;
}
new MutationObserver(makeScrollable).observe(document.body, { childList: true, subtree: true });
makeScrollable();
