"""A tiny stand-in for the hub on loopback: just the calls that ``datasets`` makes for a repository of parquet files."""

import contextlib
import hashlib
import http.server
import io
import json
import struct
import threading
import zlib
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq

COMMIT = "a" * 40


def parquet(texts: list[str], labels: list[int]) -> bytes:
    features = {"q": {"dtype": "string", "_type": "Value"}, "a": {"names": ["no", "yes"], "_type": "ClassLabel"}}
    table = pa.table({"q": texts, "a": pa.array(labels, pa.int64())})
    sink = io.BytesIO()
    pq.write_table(table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})}), sink)
    return sink.getvalue()


def picture(shade: int) -> bytes:
    """A PNG file of one grey pixel."""
    header, pixel = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0), zlib.compress(bytes([0, shade]))
    chunks = ((b"IHDR", header), (b"IDAT", pixel), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )


def pictures(shades: list[int]) -> bytes:
    features = {"image": {"_type": "Image"}, "a": {"dtype": "string", "_type": "Value"}}
    records = [{"bytes": picture(shade), "path": f"{shade}.png"} for shade in shades]
    table = pa.table({"image": records, "a": ["dark" if shade < 128 else "light" for shade in shades]})
    sink = io.BytesIO()
    pq.write_table(table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})}), sink)
    return sink.getvalue()


_TWO_CONFIGS = b"""---
configs:
- config_name: small
  data_files: small.parquet
- config_name: large
  data_files: large.parquet
---
"""
ROWS = parquet(["one", "two", "three"], [1, 0, 1])
REPOS: dict[str, dict[str, bytes]] = {
    "me/tiny": {"data/train-0.parquet": ROWS, "data/test-0.parquet": parquet(["x", "y"], [0, 1]), "README.md": b"---\nlicense: mit\n---\n"},
    "me/two": {"small.parquet": ROWS, "large.parquet": ROWS, "README.md": _TWO_CONFIGS},
    "me/pictures": {"data/train-0.parquet": pictures([3, 250])},
    "me/gated": {"data/train-0.parquet": ROWS},
    "me/broken": {},
}


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass

    def _send(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _json(self, value: object) -> None:
        self._send(200, json.dumps(value).encode(), Content_Type="application/json")

    def do_GET(self) -> None:
        parts = self.path.partition("?")[0].strip("/").split("/")
        if parts[:2] == ["api", "datasets"]:
            name, rest = "/".join(parts[2:4]), parts[4:]
        elif parts[0] == "datasets":
            name, rest = "/".join(parts[1:3]), parts[3:]
        else:
            return self._send(404)
        files = REPOS.get(name)
        if files is None:
            return self._send(401, X_Error_Code="RepoNotFound")
        if name == "me/broken":
            return self._send(503)
        if rest[:1] == ["resolve"]:
            return self._file(name, files, "/".join(rest[2:]))
        if rest[:1] == ["tree"]:
            return self._tree(files, "/".join(rest[2:]))
        if rest[:1] == ["revision"] and rest[1] not in {COMMIT, "main", "v1"}:
            return self._send(404, X_Error_Code="RevisionNotFound")
        licence = {"license": "mit"} if name == "me/tiny" else {}
        return self._json({"id": name, "sha": COMMIT, "siblings": [{"rfilename": file} for file in files], "cardData": licence})

    do_HEAD = do_GET

    def _file(self, name: str, files: dict[str, bytes], path: str) -> None:
        if name == "me/gated":
            return self._send(403, X_Error_Code="GatedRepo")
        if path not in files:
            return self._send(404, X_Error_Code="EntryNotFound", X_Repo_Commit=COMMIT)
        return self._send(200, files[path], ETag=f'"{hashlib.sha1(files[path]).hexdigest()}"', X_Repo_Commit=COMMIT)

    def _tree(self, files: dict[str, bytes], folder: str) -> None:
        entries: list[dict[str, object]] = []
        for path, data in files.items():
            parent, _, _ = path.rpartition("/")
            if parent == folder:
                entries.append({"type": "file", "oid": hashlib.sha1(data).hexdigest(), "size": len(data), "path": path})
            elif not folder and {"type": "directory", "oid": "0", "size": 0, "path": parent} not in entries:
                entries.append({"type": "directory", "oid": "0", "size": 0, "path": parent})
        self._json(entries)


@contextlib.contextmanager
def serve() -> Iterator[str]:
    """Serve on a free port of the loopback address; yield the endpoint."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
