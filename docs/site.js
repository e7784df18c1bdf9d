// The theme gives its search no name, and a keyboard no way into what scrolls.
function nameAndFocus() {
  document.querySelector(".md-search")?.setAttribute("aria-label", "Search")
  for (const e of document.querySelectorAll("pre > code, .md-typeset__scrollwrap")) {
    if (e.scrollWidth > e.clientWidth) e.setAttribute("tabindex", "0")
    else e.removeAttribute("tabindex")
  }
}
window.addEventListener("load", nameAndFocus)
window.addEventListener("resize", nameAndFocus)
