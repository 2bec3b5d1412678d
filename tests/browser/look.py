"""What axe and the keyboard find on a page."""

from __future__ import annotations

import re
from typing import Any

#: Colours change slowly when the scheme does.
SETTLED = "Promise.allSettled(document.getAnimations().map(animation => animation.finished))"
WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]
#: What Django's own admin violates, by rule, with the selectors of its own markup. Nothing of ours is below these.
DJANGOS_OWN: dict[str, tuple[str, ...]] = {
    # Links in a line of text that only their colour tells apart.
    "link-in-text-block": (".breadcrumbs > a", "#changelist-search .quiet > a", ".delete-confirmation #content li > a"),
    # The boxes that its autocomplete makes of a select, which has a label.
    "aria-input-field-name": (".related-widget-wrapper .select2 *",),
    # On the site's own pages: the two halves of a time, the cells of a table of inlines, and the choice "" of a filter.
    "label": (".datetime input", ".tabular td input"),
    "select-name": (".tabular td select",),
    "link-name": ("#changelist-filter li > a",),
}


def violations(page: Any) -> list[str]:
    """What axe finds against WCAG 2.1 AA, but for what is Django's own."""
    from axe_playwright_python.sync_playwright import Axe

    page.evaluate(SETTLED)
    options = {"runOnly": {"type": "tag", "values": WCAG}, "resultTypes": ["violations"]}
    found = Axe().run(page, options=options).response["violations"]
    return [
        f"{violation['id']} at {' '.join(node['target'])}: {_reason(node)}"
        for violation in found
        for node in violation["nodes"]
        if not _is_djangos(page, violation["id"], node["target"])
    ]


def _reason(node: dict[str, Any]) -> str:
    return re.sub(r"\s+", " ", node.get("failureSummary", ""))[:300]


def _is_djangos(page: Any, rule: str, target: list[str]) -> bool:
    """Whether the element is in markup of Django's own that is known to violate the rule."""
    element = page.locator(target[-1]).first
    return any(
        element.evaluate("(element, selector) => element.matches(selector)", own) for own in DJANGOS_OWN.get(rule, ())
    )


#: Marks what a keyboard must reach, each with how it looks without the focus.
_MARK = """() => {
    const look = element => {
        const style = getComputedStyle(element);
        return ["outlineStyle", "outlineWidth", "boxShadow", "backgroundColor", "borderColor", "color",
                "textDecorationLine"].map(name => style[name]).join("|");
    };
    window.bsyncLook = look;
    document.activeElement.blur();
    const all = "a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex='0']";
    let number = 0;
    for (const element of document.querySelectorAll(`#content :is(${all})`)) {
        if (!element.checkVisibility({visibilityProperty: true}) || element.disabled || element.tabIndex < 0) continue;
        element.dataset.bsyncNumber = number++;
        element.dataset.bsyncLook = look(element);
    }
    return number;
}"""
_FOCUSED = """() => {
    const element = document.activeElement;
    const number = element.dataset.bsyncNumber;
    if (number === undefined) return null;
    const seen = element.matches(":focus-visible") && window.bsyncLook(element) !== element.dataset.bsyncLook;
    return [Number(number), seen, element.outerHTML.slice(0, 160)];
}"""
_UNREACHED = """reached => [...document.querySelectorAll("[data-bsync-number]")]
    .filter(element => !reached.includes(Number(element.dataset.bsyncNumber)))
    .map(element => element.outerHTML.slice(0, 160))"""


def out_of_reach(page: Any) -> list[str]:
    """What of the page's content Tab doesn't get to, or gets to without showing it."""
    page.add_style_tag(content="* { transition: none !important; }")
    count = page.evaluate(_MARK)
    reached: set[int] = set()
    unseen: list[str] = []
    # The header, the menu and the skip link come first.
    for _ in range(count + 150):
        page.keyboard.press("Tab")
        focused = page.evaluate(_FOCUSED)
        if focused is not None and focused[0] not in reached:
            reached.add(focused[0])
            if not focused[1]:
                unseen.append(f"not seen to have the focus: {focused[2]}")
        if len(reached) == count:
            break
    return [*unseen, *(f"not reached: {element}" for element in page.evaluate(_UNREACHED, list(reached)))]
