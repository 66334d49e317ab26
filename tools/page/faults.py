"""How the search page behaves when things go wrong, on small screens, in the dark, and when texts are hostile."""

import json
import urllib.parse

NARROW = {"viewport": {"width": 320, "height": 640}, "has_touch": True, "is_mobile": True, "reduced_motion": "reduce"}
HOSTILE = '<img src=x onerror="window.harmed=1">"\'><script>window.harmed=1</script>'

# Every visible piece of text whose contrast with what is behind it falls short of WCAG AA.
PALE = """() => {
  const light = (c) => { const [r, g, b] = c.map((v) => { v /= 255; return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const numbers = (text) => (text.match(/[\\d.]+/g) ?? []).map(Number);
  const behind = (element) => { for (let e = element; e; e = e.parentElement) {
    const style = getComputedStyle(e), glow = style.backgroundImage.match(/rgb\\([^)]*\\)/);
    if (glow) return numbers(glow[0]);
    const c = numbers(style.backgroundColor);
    if (c.length === 3 || c[3] === 1) return c.slice(0, 3); } return [255, 255, 255]; };
  const walker = document.createTreeWalker(document.querySelector("dialog[open]") ?? document.body, NodeFilter.SHOW_TEXT);
  const pale = []; let seen = 0;
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const element = node.parentElement;
    if (!node.data.trim() || !element.checkVisibility({ visibilityProperty: true }) || element.closest(":disabled, .unseen")) continue;
    const a = light(numbers(getComputedStyle(element).color).slice(0, 3)), b = light(behind(element));
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05); seen += 1;
    if (ratio < 4.5) pale.push(`${ratio.toFixed(2)} ${node.data.trim().slice(0, 40)}`);
  }
  return { pale, seen }; }"""


def refuse(page, status, code, headers=None, path="**/v1/search", times=None):
    """Answers in the server's place, `times` times."""
    error = {"error": {"code": code, "message": f"what to do about {code}", "request_id": "req-7"}}
    page.route(path, lambda route: route.fulfill(
        status=status, headers={"content-type": "application/json", **(headers or {})}, body=json.dumps(error)), times=times)


def settle(page):
    page.locator(".hit").first.wait_for()


def failures_are_explained(page, site):
    cases = [(500, "internal", "Something failed in the server"), (503, "unavailable", "The server is not ready yet"),
             (422, "unsupported", "This collection cannot be ranked so"), (400, "invalid_request", "The server refused this"),
             (408, "timeout", "The answer took too long")]
    page.goto(site.address())
    for status, code, heading in cases:
        refuse(page, status, code)
        page.get_by_role("searchbox").fill(f"{site.query} {code}")
        page.get_by_role("heading", name=heading).wait_for()
        alert = page.get_by_role("alert").inner_text()
        assert f"what to do about {code}" in alert and "req-7" in alert, alert
        page.unroute("**/v1/search")
        page.get_by_role("button", name="try again").click()
        settle(page)
        assert page.locator("#notice").is_hidden()
        assert page.evaluate("document.activeElement.id") == "query", "the focus is not lost with the button"


def going_back_leaves_a_failure_behind(page, site):
    page.goto(site.address(q=site.query))
    settle(page)
    refuse(page, 500, "internal")
    page.get_by_role("searchbox").fill(f"{site.query} again")
    page.get_by_role("alert").wait_for()
    page.unroute("**/v1/search")
    page.go_back()
    page.locator("#notice").wait_for(state="hidden")
    settle(page)
    assert page.get_by_role("searchbox").input_value() == site.query


def a_neighbour_that_went_does_not_matter(page, site):
    def document(route):
        name = urllib.parse.unquote(urllib.parse.urlsplit(route.request.url).path)
        if name.endswith("gone"):
            return route.fulfill(status=404, body=json.dumps({"error": {"code": "not_found", "message": "gone"}}))
        passage = {"id": "d#1", "title": "t", "text": "still here", "collection": site.name, "context": {
            "document": "d", "position": 1, "previous": "gone", "next": None}}
        return route.fulfill(status=200, body=json.dumps(passage))

    page.route("**/v1/documents/**", document)
    page.goto(site.address(q=site.query, open="d#1"))
    page.get_by_role("dialog").get_by_text("still here").wait_for()
    assert page.locator("#reader .passage").count() == 1
    assert page.locator("#reader-previous").is_disabled()


def an_overloaded_server_is_asked_again(page, site):
    refuse(page, 429, "overloaded", {"retry-after": "1"}, times=1)
    page.goto(site.address(q=site.query))
    page.get_by_role("heading", name="The server is busy").wait_for()
    assert "in 1 s" in page.get_by_role("button", name="try again").inner_text()
    settle(page)
    assert page.locator("#notice").is_hidden()


def an_overloaded_server_is_not_pressed(page, site):
    asked = []
    page.on("request", lambda request: asked.append(1) if request.url.endswith("/v1/search") else None)
    refuse(page, 429, "rate_limited", {"retry-after": "1"})
    page.goto(site.address(q=site.query))
    page.get_by_role("button", name="try again", exact=True).wait_for()
    page.wait_for_timeout(1500)
    assert len(asked) == 4, f"asked {len(asked)} times: once and three times more"


def a_lost_connection_is_noticed(page, site):
    page.goto(site.address(q=site.query))
    settle(page)
    page.context.set_offline(True)
    page.get_by_role("searchbox").fill(f"{site.query} again")
    page.get_by_role("heading", name="The server does not answer").wait_for()
    page.context.set_offline(False)  # the browser says so, and the page asks again
    page.locator("#notice").wait_for(state="hidden")
    settle(page)


def a_strange_answer_is_noticed(page, site):
    page.route("**/v1/search", lambda route: route.fulfill(status=200, body="<html>a proxy's greeting</html>"))
    page.goto(site.address(q=site.query))
    page.get_by_role("heading", name="The answer cannot be read").wait_for()


def a_missing_passage_is_explained(page, site):
    page.goto(site.address(q=site.query, open="no such/passage#0"))
    page.get_by_role("dialog").get_by_role("heading", name="Not found").wait_for()
    page.keyboard.press("Escape")
    page.locator("#reader").wait_for(state="hidden")
    settle(page)


def waiting_is_shown(page, site):
    held = []
    page.route("**/v1/search", lambda route: held.append(route))
    page.goto(site.address(q=site.query))
    page.locator("#results[aria-busy=true]").wait_for(state="attached")
    page.locator(".progress").wait_for(state="visible")
    held[0].continue_()
    settle(page)
    page.locator("#results[aria-busy=false]").wait_for()
    page.locator(".progress").wait_for(state="hidden")


def a_key_is_asked_for(page, site):
    error = json.dumps({"error": {"code": "unauthorized", "message": "a key is needed", "request_id": "r"}})

    def gate(route):
        if route.request.headers.get("authorization") == "Bearer right":
            kept = {**route.request.headers, **({"authorization": f"Bearer {site.key}"} if site.key else {})}
            return route.continue_(headers=kept)
        return route.fulfill(status=401, headers={"content-type": "application/json"}, body=error)

    page.route("**/v1/**", gate)
    page.goto(site.address(q=site.query))
    field = page.get_by_label("Key", exact=True)
    field.wait_for()
    field.fill("wrong")
    field.press("Enter")
    page.get_by_text("The key was refused").wait_for()
    field.fill("right")
    page.get_by_role("button", name="use key").click()
    settle(page)
    assert page.evaluate("Object.values(sessionStorage).includes('right')")
    assert not page.evaluate("Object.values(localStorage).includes('right') || document.cookie.includes('right')")
    page.get_by_role("button", name="forget key").click()
    field.wait_for()
    assert page.evaluate("sessionStorage.getItem('revela.key')") is None
    assert page.locator(".hit, #facts > *").count() == 0, "what the key had opened is gone with it"


def a_phone_has_room(page, site):
    def fits():
        wide = page.evaluate("[document.scrollingElement.scrollWidth, innerWidth]")
        assert wide == [320, 320], wide

    page.goto(site.address())
    page.locator("#facts").wait_for()
    fits()
    for mode in ["hybrid", "compare"]:
        page.goto(site.address(q=site.query, mode=mode))
        settle(page)
        fits()
    lefts = {box["x"] for box in (column.bounding_box() for column in page.locator(".column").all())}
    assert len(lefts) == 1, "the columns are stacked"
    page.locator(".hit h3 a").first.tap()
    page.locator("#reader .opened").wait_for()
    fits()
    box = page.locator("#reader").bounding_box()
    assert (box["width"], box["height"]) == (320, 640), box
    page.get_by_role("button", name="close").tap()
    page.locator("#reader").wait_for(state="hidden")
    page.get_by_role("button", name="keys").tap()
    fits()


def colours_can_be_read(page, site):
    for scheme in ["light", "dark"]:
        page.emulate_media(color_scheme=scheme)
        for state in [{"q": site.query}, {"q": site.query, "mode": "compare"}, {"q": site.query, "mode": "dense"},
                      {"q": site.query, "open": site.ids("hybrid")[0]}]:
            page.goto(site.address(**state))
            page.locator("#reader .opened" if "open" in state else ".hit").first.wait_for()
            found = page.evaluate(PALE)
            assert found["seen"] > 15 and found["pale"] == [], (scheme, state, found)


def light_and_dark(page, site):
    shade = "() => Math.max(...getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number))"
    page.emulate_media(color_scheme="dark")
    page.goto(site.base)
    assert page.evaluate(shade) < 60
    page.emulate_media(color_scheme="light")
    assert page.evaluate(shade) > 200
    switch = page.get_by_role("button", name="theme")
    switch.click()
    assert switch.inner_text() == "theme: dark" and page.evaluate(shade) < 60
    page.reload()
    assert page.evaluate(shade) < 60, "the choice is kept"
    switch.click()
    assert page.evaluate(shade) > 200
    switch.click()
    assert switch.inner_text() == "theme: auto"


def motion_is_reduced(page, site):
    page.emulate_media(reduced_motion="reduce")
    held = []
    page.route("**/v1/search", lambda route: held.append(route))
    page.goto(site.address(q=site.query))
    page.locator("body.busy").wait_for()
    moving = "document.getAnimations().filter((a) => a.playState === 'running' && a.effect.getTiming().duration > 0).length"
    assert page.evaluate(moving) == 0
    page.emulate_media(reduced_motion="no-preference")
    assert page.evaluate(moving) > 0, "otherwise the line moves while the page waits"
    held[0].abort()


def hostile_texts_stay_texts(page, site):
    key = f"javascript:window.harmed=1//{HOSTILE}\u202e../#0"
    text = f"𝒜 {HOSTILE} & &lt;b&gt; end"
    hit = {"rank": 1, "id": key, "score": 1.5, "title": HOSTILE, "text": text, "snippet": {
        "text": text, "marks": [[0, 1], [-5, 3], [2, 6], [4, 8], [50, 40], [len(text) - 3, 10**9]]}}
    passage = {"id": key, "title": HOSTILE, "text": text, "collection": site.name, "context": {
        "document": HOSTILE, "position": 0, "previous": None, "next": None}}
    answer = {"collection": site.name, "mode": "hybrid", "hits": [hit],
              "took": {"embed_ms": 1, "search_ms": 1, "total_ms": 3}}
    as_json = lambda body: lambda route: route.fulfill(  # noqa: E731
        status=200, headers={"content-type": "application/json"}, body=json.dumps(body))
    page.route("**/v1/search", as_json(answer))
    page.route("**/v1/documents/**", as_json(passage))
    page.goto(site.address(q=HOSTILE))
    settle(page)
    link = page.locator(".hit h3 a")
    assert link.text_content() == HOSTILE and link.get_attribute("href").startswith("?")
    assert page.locator(".hit .id").text_content() == key
    assert page.locator(".extract").text_content() == text
    assert page.locator(".extract mark").all_text_contents() == ["𝒜", " <", "img", " s", "end"]
    link.click()
    page.locator("#reader .opened").wait_for()
    assert page.locator("#reader-title").text_content() == HOSTILE
    assert page.locator("#reader .text").text_content() == text
    page.goto(site.address(q=HOSTILE, mode="compare"))
    settle(page)
    error = {"error": {"code": "internal", "message": HOSTILE, "request_id": HOSTILE}}
    page.route("**/v1/search", lambda route: route.fulfill(status=500, body=json.dumps(error)))
    page.get_by_role("searchbox").fill("and in errors")
    page.get_by_role("alert").wait_for()
    assert HOSTILE in page.get_by_role("alert").text_content()
    assert page.locator("main img, main script, dialog img, dialog script").count() == 0
    assert page.evaluate("window.harmed") is None


a_phone_has_room.profile = NARROW

FAULT_CHECKS = [failures_are_explained, going_back_leaves_a_failure_behind, a_neighbour_that_went_does_not_matter,
                an_overloaded_server_is_asked_again, an_overloaded_server_is_not_pressed, a_lost_connection_is_noticed,
                a_strange_answer_is_noticed, a_missing_passage_is_explained, waiting_is_shown, a_key_is_asked_for,
                a_phone_has_room, colours_can_be_read, light_and_dark, motion_is_reduced, hostile_texts_stay_texts]
