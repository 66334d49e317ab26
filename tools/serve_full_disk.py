#!/usr/bin/env python3
"""Lets the disk under a writable server run full, and looks whether anything acknowledged is lost.

    sudo python tools/serve_full_disk.py target/release/revela

Mounts a small tmpfs, so it needs root. The server must answer the additions that do not fit with an error of its
usual form, go on searching meanwhile, take additions again once there is room, and keep every acknowledged one.
"""

import json
import pathlib
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request


def ask(url, path, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url + path, data, {"content-type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def start(program, collection):
    arguments = [program, "serve", str(collection), "--writable", "--listen", "127.0.0.1:0", "--log-format", "json"]
    process = subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True)
    url = next(line["url"] for line in map(json.loads, process.stderr) if "url" in line)
    # Few lines follow at this size, so that the pipe holds them all unread.
    while ask(url, "/readyz")[0] != 200:
        time.sleep(0.05)
    return process, url


def add(url, number):
    text = " ".join(f"word{number * 1000 + word}" for word in range(1500))
    return ask(url, "/v1/documents", {"documents": [{"id": f"d{number}", "text": text}]})


def main():
    program = sys.argv[1]
    with tempfile.TemporaryDirectory() as root:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", root], check=True)
        process = None
        try:
            corpus, collection = pathlib.Path(root, "c.jsonl"), pathlib.Path(root, "c")
            corpus.write_text('{"_id": "first", "text": "a first passage"}\n')
            subprocess.run([program, "index", "build", "--input", corpus, "--out", collection], check=True)
            process, url = start(program, collection)
            kept, refused = [], 0
            for number in range(60):
                status, answer = add(url, number)
                if status == 200:
                    kept.append(f"d{number}")
                else:
                    refused += 1
                    assert status == 500 and answer["error"]["code"] == "internal", answer
                status, answer = ask(url, "/v1/search", {"query": "first passage"})
                assert status == 200 and answer["hits"][0]["id"] == "first", answer
            print(f"{len(kept)} additions fitted, {refused} did not")
            assert kept and refused, "the disk never ran full"
            subprocess.run(["mount", "-o", "remount,size=64m", root], check=True)
            assert add(url, 100)[0] == 200, "there is room again"
            for attempt in ("while it runs", "after a restart"):
                lost = [id for id in kept + ["d100"] if ask(url, f"/v1/documents/{id}")[0] != 200]
                assert not lost, f"{attempt}: {lost}"
                process.terminate()
                assert process.wait() == 0
                subprocess.run([program, "index", "verify", collection], check=True)
                process, url = start(program, collection)
            print("nothing acknowledged was lost")
        finally:
            if process:
                process.kill()
                process.wait()
            subprocess.run(["umount", root], check=True)


main()
