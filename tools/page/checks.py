"""What the search page must do. Each check gets a page in a fresh profile and the site; expectations come from the API."""

import json
import re
import urllib.parse
import urllib.request

from faults import FAULT_CHECKS

MODES = ["dense", "hybrid", "bm25"]  # the order of the columns


class Site:
    """The server under test, asked directly."""

    def __init__(self, base, query, key):
        self.base, self.query, self.key = base, query, key
        self.collections = self.call("v1/collections")["collections"]
        complete = [c for c in self.collections if set(MODES) <= set(c["modes"])]
        if not complete:
            raise SystemExit("the server needs a collection that can be ranked in all three ways")
        self.facts = complete[0]
        self.name = self.facts["name"]

    def call(self, path, body=None):
        headers = {"content-type": "application/json", **({"authorization": f"Bearer {self.key}"} if self.key else {})}
        data = json.dumps(body).encode() if body is not None else None
        with urllib.request.urlopen(urllib.request.Request(self.base + path, data, headers), timeout=30) as answer:
            return json.load(answer)

    def search(self, mode, k=10, query=None):
        length = 320 if self.facts["analyser"] == "code" else 240
        return self.call("v1/search", {"collection": self.name, "query": query or self.query, "k": k, "mode": mode,
                                       "snippet": {"length": length}, "include_text": False})

    def ids(self, mode, k=10):
        return [hit["id"] for hit in self.search(mode, k)["hits"]]

    def document(self, key):
        place = urllib.parse.quote(key, safe="")
        return self.call(f"v1/documents/{place}?collection={urllib.parse.quote(self.name)}")

    def address(self, **state):
        state = {"collection": self.name, **state}
        return f"{self.base}?{urllib.parse.urlencode(state)}"


def shown(scope):
    return scope.locator(".hit").evaluate_all("items => items.map((item) => item.dataset.id)")


def wait_for_ids(page, wanted, scope=".sheet"):
    page.wait_for_function(
        "([scope, wanted]) => JSON.stringify([...document.querySelectorAll(`${scope} .hit`)].map((i) => i.dataset.id))"
        " === JSON.stringify(wanted)", arg=[scope, wanted])


def state(page):
    return dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(page.url).query))


def typing_shows_results(page, site):
    requests = []
    page.on("request", lambda request: requests.append(request) if request.url.endswith("/v1/search") else None)
    page.goto(site.address())
    box = page.get_by_role("searchbox", name="Search")
    box.press_sequentially(site.query, delay=15)
    answer = site.search("hybrid")
    wait_for_ids(page, [hit["id"] for hit in answer["hits"]])
    assert len(requests) <= len(site.query) / 3, f"{len(requests)} requests for {len(site.query)} letters"
    for hit, item in zip(answer["hits"], page.locator(".hit").all()):
        assert item.locator(".numeral").inner_text().split()[-1] == str(hit["rank"])
        assert abs(float(item.locator(".score").inner_text().split()[-1]) - hit["score"]) < 0.006
        points = list(hit["snippet"]["text"])
        marks = ["".join(points[start:end]) for start, end in hit["snippet"]["marks"]]
        assert item.locator(".extract").text_content() == hit["snippet"]["text"]
        assert item.locator("mark").all_text_contents() == marks
    assert state(page)["q"] == site.query
    assert site.query in page.title()
    assert f"{len(answer['hits'])} passage" in page.get_by_role("status").inner_text()


def stale_answers_are_dropped(page, site):
    held, ended = [], []

    def route(route):
        late = route.request.post_data_json["query"] == "late"
        held.append(route) if late else route.continue_()

    page.route("**/v1/search", route)
    page.on("requestfailed", lambda request: ended.append(request.post_data_json["query"]))
    page.goto(site.address())
    page.evaluate("""() => { window.flashes = 0; const notice = document.getElementById('notice');
        new MutationObserver(() => { flashes += !notice.hidden; }).observe(notice, { attributes: true, childList: true }); }""")
    box = page.get_by_role("searchbox")
    with page.expect_request("**/v1/search"):
        box.fill("late")
    page.wait_for_timeout(200)
    box.fill(site.query)
    wait_for_ids(page, site.ids("hybrid"))
    assert len(held) == 1 and ended == ["late"], (held, ended)
    assert page.evaluate("flashes") == 0, "what was dropped is no failure"
    held[0].abort()


def modes_switch(page, site):
    page.goto(site.address(q=site.query))
    wait_for_ids(page, site.ids("hybrid"))
    for mode, name in [("dense", "dense"), ("bm25", "BM25"), ("hybrid", "hybrid")]:
        page.get_by_role("group", name="Rank by").get_by_text(name, exact=True).click()
        wait_for_ids(page, site.ids(mode))
        assert state(page)["mode"] == mode
        assert page.get_by_role("radio", name=name, exact=True).is_checked()
        assert f"by {name}" in page.get_by_role("status").inner_text()
        rows = dict(zip(page.locator("#took dt").all_inner_texts(), page.locator("#took dd").all_inner_texts()))
        assert list(rows) == ["embed", "search", "rest", "total", "round trip"], rows
        value = {name: float(text.removesuffix(" ms")) for name, text in rows.items()}
        assert abs(value["embed"] + value["search"] + value["rest"] - value["total"]) < 0.6, value
    page.get_by_role("combobox", name="show").select_option("5")
    wait_for_ids(page, site.ids("hybrid", 5))


def the_collections_facts_are_shown(page, site):
    page.goto(site.address())
    facts = page.locator("#facts").inner_text()
    for part in [f"{site.facts['passages']:,}", f"{site.facts['dimension']:,} dimensions, {site.facts['metric']}",
                 site.facts["encoder"], ", ".join(mode.replace("bm25", "BM25") for mode in site.facts["modes"])]:
        assert part in facts, (part, facts)


def collections_can_be_chosen(page, site):
    if len(site.collections) < 2:
        return
    page.goto(site.base)
    other = site.collections[-1]
    page.get_by_role("combobox", name="in", exact=True).select_option(other["name"])
    page.wait_for_function("name => new URLSearchParams(location.search).get('collection') === name", arg=other["name"])
    assert f"{other['passages']:,} passages" in page.locator("#gist").inner_text()
    for mode in MODES:
        assert page.locator(f"#modes input[value={mode}]").is_disabled() == (mode not in other["modes"])
    page.goto(f"{site.base}?q=x&collection=no+such")
    page.get_by_role("heading", name="Not found").wait_for()


def three_rankings_side_by_side(page, site):
    page.set_viewport_size({"width": 1440, "height": 1000})
    page.goto(site.address(q=site.query, mode="compare"))
    ids = {mode: site.ids(mode) for mode in MODES}
    for mode in MODES:
        wait_for_ids(page, ids[mode], f".column[data-mode={mode}]")
    shared = sum(len(set(ids[left]) & set(ids[right])) for left, right in zip(MODES, MODES[1:]))
    assert page.locator("svg.links path").count() == shared > 0
    found = next(key for key in ids["dense"] if key in ids["hybrid"])
    column = page.locator(".column[data-mode=dense]")
    item = column.locator(".hit").nth(ids["dense"].index(found))
    item.hover()
    assert set(page.locator(".hit.same").evaluate_all("items => items.map((i) => i.dataset.id)")) == {found}
    chip = item.get_by_role("button", name=f"Same passage in hybrid {ids['hybrid'].index(found) + 1}")
    chip.click()
    at_twin = "([m, id]) => document.activeElement.closest('.hit')?.matches(`[data-mode=${m}]`)" \
              " && document.activeElement.closest('.hit').dataset.id === id"
    assert page.evaluate(at_twin, ["hybrid", found])
    page.keyboard.press("ArrowLeft")
    assert page.evaluate(at_twin, ["dense", found])
    both = len(set(ids["dense"]) & set(ids["bm25"]))
    assert f"share {both}" in page.get_by_role("status").inner_text()
    page.set_viewport_size({"width": 1100, "height": 1000})
    tops = {page.locator(f".column[data-mode={mode}] .hits").bounding_box()["y"] for mode in MODES}
    assert len(tops) == 1, "the lists begin on one line, even where a heading breaks"


def a_hit_opens_in_its_document(page, site):
    page.goto(site.address(q=site.query))
    keys = site.ids("hybrid")
    wait_for_ids(page, keys)
    key = next((key for key in keys if site.document(key)["context"]["next"]), keys[0])
    wanted = site.document(key)
    page.locator(".hit").nth(keys.index(key)).get_by_role("link").click()
    reader = page.get_by_role("dialog")
    reader.locator(".opened").wait_for()
    texts = [document["text"] for document in (
        site.document(one) for one in [wanted["context"]["previous"], key, wanted["context"]["next"]] if one)]
    squeezed = [re.sub(r"\s+", " ", text) for text in reader.locator(".text").all_text_contents()]
    assert squeezed == [re.sub(r"\s+", " ", text) for text in texts]
    assert state(page)["open"] == key
    if wanted["context"]["next"]:
        page.keyboard.press("ArrowRight")
        page.wait_for_function("id => new URLSearchParams(location.search).get('open') === id", arg=wanted["context"]["next"])
        page.locator("#reader-previous:enabled").wait_for()
        page.keyboard.press("ArrowLeft")
        page.wait_for_function("id => new URLSearchParams(location.search).get('open') === id", arg=key)
    page.reload()
    reader.locator(".opened").wait_for()
    page.keyboard.press("Escape")
    page.wait_for_function("() => !new URLSearchParams(location.search).has('open')")
    assert reader.count() == 0
    page.go_forward()
    reader.locator(".opened").wait_for()
    page.go_back()
    reader.wait_for(state="hidden")
    wait_for_ids(page, keys)


def the_keyboard_is_enough(page, site):
    page.goto(site.address(q=site.query))
    keys = site.ids("hybrid")
    wait_for_ids(page, keys)
    focused = "document.activeElement.closest('.hit')?.dataset.id ?? document.activeElement.id"
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("/")
    assert page.evaluate(focused) == "query"
    for key, wanted in [("ArrowDown", keys[0]), ("ArrowDown", keys[1]), ("ArrowUp", keys[0]), ("ArrowUp", "query"),
                        ("ArrowDown", keys[0]), ("Escape", "query"), ("ArrowDown", keys[0])]:
        page.keyboard.press(key)
        assert page.evaluate(focused) == wanted, (key, wanted)
    page.keyboard.press("Enter")
    page.locator("#reader .opened").wait_for()
    page.keyboard.press("Escape")
    page.locator("#reader").wait_for(state="hidden")
    assert page.evaluate(focused) == keys[0], "closing gives the focus back to the hit"
    page.keyboard.press("?")
    page.get_by_role("dialog", name="Keys").wait_for()
    page.keyboard.press("Escape")
    page.get_by_role("dialog", name="Keys").wait_for(state="hidden")
    page.keyboard.press("/")
    page.keyboard.type("?/")
    assert page.get_by_role("searchbox").input_value() == "?/", "keys are letters in a field"


def the_focus_is_visible(page, site):
    page.goto(site.address(q=site.query))
    wait_for_ids(page, site.ids("hybrid"))
    seen = set()
    for _ in range(12):
        page.keyboard.press("Tab")
        seen.add(page.evaluate("""() => {
            const on = document.activeElement;
            const marks = [on, on.nextElementSibling, on.closest('.hit'), on.closest('.field')].filter(Boolean)
              .map((e) => getComputedStyle(e)).some((s) => s.outlineStyle === 'solid' || s.boxShadow !== 'none');
            return marks ? 'marked' : `${on.tagName} ${on.id} ${on.className}`; }"""))
    assert seen == {"marked"}, seen


def back_and_forward_work(page, site):
    page.goto(site.address())
    box = page.get_by_role("searchbox")
    box.fill("first words")
    box.press("Enter")
    page.wait_for_function("() => document.title.startsWith('first')")
    box.fill(site.query)
    box.press("Enter")
    wait_for_ids(page, site.ids("hybrid"))
    page.locator("#modes label", has_text="BM25").click()
    wait_for_ids(page, site.ids("bm25"))
    page.go_back()
    wait_for_ids(page, site.ids("hybrid"))
    assert page.get_by_role("radio", name="hybrid").is_checked()
    page.go_back()
    page.wait_for_function("() => document.title.startsWith('first')")
    assert box.input_value() == "first words"
    page.go_back()
    page.wait_for_function("() => document.querySelectorAll('.hit').length === 0")
    assert box.input_value() == ""
    page.go_forward()
    page.wait_for_function("() => document.title.startsWith('first')")


def nothing_found_is_said(page, site):
    page.goto(site.address(q=site.query))
    wait_for_ids(page, site.ids("hybrid"))
    page.get_by_label("ids beginning with").fill("no id begins so/")
    page.get_by_role("heading", name="Nothing found").wait_for()
    assert "0 passages" in page.get_by_role("status").inner_text()
    page.get_by_label("ids beginning with").fill("")
    wait_for_ids(page, site.ids("hybrid"))
    page.get_by_role("searchbox").fill("   ")
    page.wait_for_function("() => document.querySelectorAll('.hit, #results h2').length === 0")


CHECKS = [typing_shows_results, stale_answers_are_dropped, modes_switch, the_collections_facts_are_shown,
          collections_can_be_chosen, three_rankings_side_by_side, a_hit_opens_in_its_document, the_keyboard_is_enough,
          the_focus_is_visible, back_and_forward_work, nothing_found_is_said, *FAULT_CHECKS]
