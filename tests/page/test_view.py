"""The server of `keras-curvature view`: this machine alone, the page alone, and what is new."""

import http.client
import threading

import pytest
from werkzeug.test import Client

from closed_forms import parabola, report
from keras_curvature.summaries.run_writer import RunWriter
from keras_curvature_page.log import Log
from keras_curvature_page.script import static_files
from keras_curvature_page.server import HOST, application, server
from served import ROOT, served

PORT = 6017
HERE = f"http://{HOST}:{PORT}"


def write(logdir, steps=(0, 1, 2)):
    writer = RunWriter(logdir)
    for step in steps:
        writer.write_tab(report({"x": 1.0}, step=step), parabola(20))
    writer.close()


@pytest.fixture
def client(tmp_path):
    write(tmp_path / "run1")
    return Client(application(Log(tmp_path), PORT))


def test_it_answers_as_tensorboards_plugin_does(client, tmp_path):
    other = served(tmp_path)
    (mine,) = client.get("/runs", HERE).json["series"]
    assert [mine] == other.get(f"{ROOT}/runs").json["series"]
    query = {"run": mine["run"], "tag": mine["tag"], "steps": "2,0"}
    found = client.get("/packets", HERE, query_string=query)
    assert found.data == other.get(f"{ROOT}/packets", query_string=query).data
    for wrong, code in (({**query, "steps": "7"}, 404), ({**query, "run": "../x"}, 404),
                        ({**query, "steps": "<b>"}, 400), ({}, 400)):  # fmt: skip
        answer = client.get("/packets", HERE, query_string=wrong)
        assert answer.status_code == code
        assert answer.content_type.startswith("text/plain")
        assert "<" not in answer.text


def test_the_page_and_its_files_are_served_and_may_load_nothing_else(client):
    page = client.get("/", HERE)
    assert (page.status_code, page.content_type.split(";")[0]) == (200, "text/html")
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    for path, (content, kind) in static_files().items():
        answer = client.get(path, HERE)
        assert (answer.data, answer.content_type.split(";")[0]) == (content, kind)
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


OUTSIDE = [
    "/static/../server.py", "/static/../../../etc/passwd", "/static/%2e%2e/server.py",
    "/static/..%2fserver.py", "/static//etc/passwd", "/static/uplot", "/static/", "/server.py",
    "//etc/passwd", "/runs/", "/index.html",
]  # fmt: skip


@pytest.mark.parametrize("path", OUTSIDE)
def test_nothing_else_is_served(client, path):
    assert client.get(path, HERE).status_code == 404


HOSTS = {
    "this machine": (f"127.0.0.1:{PORT}", 200),
    "its name": (f"localhost:{PORT}", 200),
    "another port": ("127.0.0.1:80", 403),
    "no port": ("127.0.0.1", 403),
    "a name of elsewhere": (f"evil.example:{PORT}", 403),
    "a name that begins alike": (f"127.0.0.1.evil.example:{PORT}", 403),
    "all machines": (f"0.0.0.0:{PORT}", 403),
    "nothing": ("", 403),
}


@pytest.mark.parametrize(("host", "code"), HOSTS.values(), ids=HOSTS)
@pytest.mark.parametrize("path", ["/", "/runs", "/static/page.js"])
def test_a_request_for_another_host_is_refused(client, host, code, path):
    assert client.get(path, HERE, headers={"Host": host}).status_code == code


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_nothing_can_be_changed(client, method):
    assert client.open("/runs", HERE, method=method).status_code == 405


def test_what_is_written_while_it_runs_is_there(client, tmp_path):
    assert client.get("/runs", HERE).json["series"][0]["steps"] == [0, 1, 2]
    write(tmp_path / "run1", (3,))
    write(tmp_path / "run2", (0,))
    assert [s["steps"] for s in client.get("/runs", HERE).json["series"]] == [[0, 1, 2, 3], [0]]


def test_a_folder_without_data_is_served_until_there_are_some(tmp_path):
    client = Client(application(Log(tmp_path), PORT))
    assert client.get("/runs", HERE).json["series"] == []


def test_it_listens_to_this_machine_alone_and_a_port_is_taken_once(tmp_path):
    write(tmp_path / "run1")
    with server(tmp_path, 0) as first:
        assert first.server_address[0] == "127.0.0.1"
        running = threading.Thread(target=first.serve_forever, kwargs={"poll_interval": 0.01})
        running.start()
        try:
            asked = http.client.HTTPConnection(HOST, first.server_port, timeout=10)
            asked.request("GET", "/runs")
            assert b"run1/curvature" in asked.getresponse().read()
            asked.close()
            with pytest.raises(OSError, match=f"{first.server_port} is in use: choose another"):
                server(tmp_path, first.server_port)
        finally:
            first.shutdown()
            running.join()
    with pytest.raises(NotADirectoryError):
        server(tmp_path / "nowhere", 0)
