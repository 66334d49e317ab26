"""Drives the search page in a real headless Chromium and compares what it shows with what the API answers.

    pip install playwright            # and a Chromium: Debian's package, or CHROMIUM=path
    python3 tools/page/test_page.py                                    # against the stand-in server
    python3 tools/page/test_page.py --base http://127.0.0.1:8080/ --query "words that find something" [--key KEY]

Faults (refusals, silence, hostile texts) are put between page and server, so the same tests hold for any server.
"""

import argparse
import os
import sys
import threading
import traceback
from contextlib import contextmanager

from playwright.sync_api import sync_playwright

import mock_server
from checks import CHECKS, Site


@contextmanager
def stand_in(key):
    server = mock_server.serve(key=key)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/"
    finally:
        server.shutdown()


def run(check, browser, site, shots):
    """Runs one check in a fresh browser profile; returns what went wrong, or None."""
    options = getattr(check, "profile", {})
    context = browser.new_context(**{"viewport": {"width": 1280, "height": 800}, **options})
    context.set_default_timeout(8000)
    if site.key:
        context.add_init_script(f"sessionStorage.setItem('revela.key', {site.key!r})")
    page, wrong = context.new_page(), []
    page.on("pageerror", lambda error: wrong.append(f"uncaught in the page: {error}"))
    page.on("console", lambda line: wrong.append(line.text) if "Content Security Policy" in line.text else None)
    try:
        check(page, site)
    except Exception:  # a failed check must not end the others
        wrong.append(traceback.format_exc())
    if shots:
        page.screenshot(path=os.path.join(shots, f"{check.__name__}.png"))
    context.close()
    return "\n".join(wrong) or None


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--base", help="the server's address; without it the stand-in server is started")
    parser.add_argument("--key", help="the server's API key")
    parser.add_argument("--query", default="how is a checkpoint resumed", help="must find several passages in every mode")
    parser.add_argument("--only", help="run the checks whose names contain this")
    parser.add_argument("--shots", help="a folder for a screenshot of how each check ended")
    arguments = parser.parse_args()
    if arguments.base is None:
        with stand_in(arguments.key) as base:
            return drive(base, arguments)
    return drive(arguments.base, arguments)


def drive(base, arguments):
    site = Site(base.rstrip("/") + "/", arguments.query, arguments.key)
    checks = [check for check in CHECKS if (arguments.only or "") in check.__name__]
    failed = 0
    with sync_playwright() as playwright:
        path = os.environ.get("CHROMIUM", "/usr/bin/chromium")
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        for check in checks:
            wrong = run(check, browser, site, arguments.shots)
            failed += wrong is not None
            print(f"{'FAILED' if wrong else 'ok    '} {check.__name__.replace('_', ' ')}", flush=True)
            if wrong:
                print(wrong, flush=True)
        browser.close()
    print(f"{len(checks) - failed} of {len(checks)} checks passed")
    return 1 if failed or not checks else 0


if __name__ == "__main__":
    sys.exit(main())
