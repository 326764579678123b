"""The Open Inference Protocol: asked by Triton's own client, and by requests as other clients send them."""

import base64
import io
import json
import struct

import numpy as np
import pytest

from innerloop.service.limits import Limits
from innerloop.service.store import keys
from tests.service.live import service
from tests.service.served import PHOTOS, PLAIN, picture, refused, serving, teach

LENGTH = "inference-header-content-length"
ROWS = np.random.default_rng(0).normal(0.5, 0.4, (3, 8)).astype("float32")
TEXTS = ["aab", "bbc", "äöü b"]


def taught(client):
    """Tasks of texts, numbers and pictures."""
    teach(client, "words")
    client.post("/api/tasks", json={"name": "rows", "source": PLAIN, "strangers": 0.2}).raise_for_status()
    examples = [
        {"label": label, "features": [i / 9 + value] * 8} for i in range(5) for value, label in enumerate("abc")
    ]
    client.post("/api/tasks/rows/examples", json={"examples": examples}).raise_for_status()
    client.post("/api/tasks", json={"name": "photos", "source": PHOTOS}).raise_for_status()
    for colour in ("red", "blue"):
        files = {"files": ("x.png", picture(colour)), "label": (None, colour)}
        client.post("/api/tasks/photos/examples", files=files).raise_for_status()
    client.post("/api/tasks", json={"name": "bare", "source": PLAIN}).raise_for_status()


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("v2"), limits=Limits(numbers=5_000)) as made:
        taught(made)
        yield made


def tensor(name, datatype, shape, data=None, **more):
    return {"name": name, "datatype": datatype, "shape": list(shape)} | ({} if data is None else {"data": data}) | more


def infer(client, task, one, behind=None, headers=None, **more):
    body = json.dumps({"inputs": [one] if isinstance(one, dict) else one} | more).encode()
    if behind is not None:
        headers = {LENGTH: str(len(body))} | (headers or {})
        body += behind
    return client.post(f"/v2/models/{task}/infer", content=body, headers=headers)


def column(answer, name):
    return next(one for one in answer.json()["outputs"] if one["name"] == name)["data"]


def same(client, task, answer, body):
    """Check that a tensor was answered as the service's own protocol answers, number by number."""
    assert answer.status_code == 200, answer.text
    plain = client.post(f"/api/tasks/{task}/predict", json=body).json()
    assert answer.json()["model_version"] == str(plain["version"])
    assert column(answer, "label") == [one["class"] or "none of these" for one in plain["predictions"]]
    assert column(answer, "accepted") == [one["accepted"] for one in plain["predictions"]]
    classes = column(answer, "classes")
    wanted = [one["probabilities"][label] for one in plain["predictions"] for label in classes]
    assert np.array_equal(np.array(column(answer, "probabilities"), "f4"), np.array(wanted, "f4"))


def strings(pieces):
    return b"".join(struct.pack("<I", len(one)) + one for one in pieces)


def test_every_tensor_is_answered_as_the_same_example_in_json(client):
    same(client, "words", infer(client, "words", tensor("texts", "BYTES", [3], TEXTS)), {"texts": TEXTS})
    same(client, "words", infer(client, "words", tensor("texts", "BYTES", [3, 1], TEXTS)), {"texts": TEXTS})
    nested = [[text] for text in TEXTS]
    same(client, "words", infer(client, "words", tensor("texts", "BYTES", [3, 1], nested)), {"texts": TEXTS})
    rows = {"features": ROWS.tolist()}
    for datatype in ("FP32", "FP64"):
        same(client, "rows", infer(client, "rows", tensor("features", datatype, [3, 8], ROWS.tolist())), rows)
        flat = ROWS.ravel().tolist()
        same(client, "rows", infer(client, "rows", tensor("features", datatype, [3, 8], flat)), rows)
    for datatype, dtype in (("UINT8", "u1"), ("INT64", "<i8"), ("INT32", "<i4")):
        whole = np.arange(16).reshape(2, 8) % 3
        packed = whole.astype(dtype).tobytes()
        one = tensor("features", datatype, [2, 8], parameters={"binary_data_size": len(packed)})
        same(client, "rows", infer(client, "rows", one, packed), {"features": whole.tolist()})
        one = tensor("features", datatype, [2, 8], whole.tolist())
        same(client, "rows", infer(client, "rows", one), {"features": whole.tolist()})
    files = [picture("red"), picture("blue", kind="JPEG")]
    in_json = [base64.b64encode(one).decode() for one in files]
    same(client, "photos", infer(client, "photos", tensor("images", "BYTES", [2], in_json)), {"images": in_json})
    one = tensor("images", "BYTES", [2], parameters={"binary_data_size": len(strings(files))})
    same(client, "photos", infer(client, "photos", one, strings(files)), {"images": in_json})


@pytest.mark.parametrize("colours", [None, 1, 3])
def test_pixels_are_answered_as_their_file(client, colours):
    from PIL import Image

    shape = (2, 12, 9, *([] if colours is None else [colours]))
    pixels = np.random.default_rng(1).integers(0, 256, shape, np.uint8)
    files = []
    for one in pixels:
        out = io.BytesIO()
        Image.fromarray(one[..., 0] if colours == 1 else one).save(out, "PNG")
        files.append(base64.b64encode(out.getvalue()).decode())
    sent = tensor("images", "UINT8", shape, parameters={"binary_data_size": pixels.nbytes})
    same(client, "photos", infer(client, "photos", sent, pixels.tobytes()), {"images": files})


def test_outputs_are_those_asked_for_also_in_bytes(client):
    wanted = [{"name": "probabilities", "parameters": {"binary_data": True}}, {"name": "label"}]
    answer = infer(client, "words", tensor("texts", "BYTES", [3], TEXTS), outputs=wanted, id="seven")
    head = json.loads(answer.content[: int(answer.headers[LENGTH])])
    assert head["id"] == "seven" and head["model_name"] == "words"
    assert [one["name"] for one in head["outputs"]] == ["probabilities", "label"]
    size = head["outputs"][0]["parameters"]["binary_data_size"]
    behind = answer.content[int(answer.headers[LENGTH]) :]
    assert len(behind) == size == 3 * 2 * 4 and "data" not in head["outputs"][0]
    assert np.allclose(np.frombuffer(behind, "<f4").reshape(3, 2).sum(1), 1, atol=1e-6)
    assert head["outputs"][1]["data"][:2] == ["a", "b"]


def test_an_answer_takes_feedback(client):
    asked = infer(client, "words", tensor("texts", "BYTES", [1], ["cab"]))
    (prediction,) = column(asked, "prediction")
    taught = client.post("/api/tasks/words/feedback", json={"prediction": prediction, "label": "b"})
    assert taught.status_code == 201, taught.text
    client.post("/api/tasks/words/undo")


def test_what_is_there_is_said(client):
    assert client.get("/v2").json()["extensions"] == ["binary_tensor_data"]
    assert client.get("/v2/health/live").json() == {"live": True}
    assert client.get("/v2/health/ready").json() == {"ready": True}
    assert client.get("/v2/models").json() == {"models": ["bare", "photos", "rows", "words"]}
    words = client.get("/v2/models/words").json()
    assert words["inputs"] == [{"name": "texts", "datatype": "BYTES", "shape": [-1]}]
    assert {"name": "probabilities", "datatype": "FP32", "shape": [-1, 2]} in words["outputs"]
    (version,) = words["versions"]
    for path in ("", "/ready"):
        assert client.get(f"/v2/models/words/versions/{version}{path}").status_code == 200
        refused(client.get(f"/v2/models/words/versions/999{path}"), 404, "at version", "alone is served")
    assert client.get("/v2/models/rows").json()["inputs"][0] == {
        "name": "features",
        "datatype": "FP32",
        "shape": [-1, -1],
    }
    assert client.get("/v2/models/photos").json()["inputs"][0]["name"] == "images"
    assert client.get("/v2/models/words/ready").json() == {"name": "words", "ready": True}
    refused(client.get("/v2/models/bare/ready"), 409)
    refused(client.get("/v2/models/none/ready"), 404, "there is no task 'none'")


SIZE = "binary_data_size"
WRONG = {
    "no input": ([], 422, "give one input, which is one of texts", "got none"),
    "two inputs": (
        [tensor("texts", "BYTES", [1], ["a"]), tensor("features", "FP32", [1, 8], [0] * 8)],
        422,
        "give one",
    ),
    "unknown input": (tensor("pixels", "FP32", [1], [0]), 422, "there is no input 'pixels'"),
    "other kind": (tensor("texts", "BYTES", [1], ["a"]), 422, "texts[0] is of the wrong kind"),
    "no type": (tensor("features", "FLOAT", [1, 8], [0] * 8), 422, "input 'features' is FLOAT, and must be FP32 or"),
    "type of texts": (tensor("texts", "FP32", [1], [0]), 422, "input 'texts' is FP32, and must be BYTES"),
    "no shape": (tensor("features", "FP32", [], []), 422, "shape"),
    "negative": (tensor("features", "FP32", [-1, 8], []), 422, "shape"),
    "flat shape": (
        tensor("features", "FP32", [8], [0] * 8),
        422,
        "'features' has the shape [8], and must have [n, num",
    ),
    "shape of texts": (tensor("texts", "BYTES", [1, 2], ["a", "b"]), 422, "must have [n] or [n, 1]"),
    "none": (tensor("features", "FP32", [0, 8], []), 422, "there is no example"),
    "too few": (tensor("features", "FP32", [2, 8], [0] * 8), 422, "shape [2, 8], which takes 16 elements, and has 8"),
    "nested": (tensor("features", "FP32", [2, 2], [[0, 0], [0]]), 422, "not nested as its shape [2, 2] is"),
    "too short": (tensor("features", "FP32", [1, 3], [0] * 3), 422, "features[0] has 3 numbers"),
    "no numbers": (tensor("features", "FP32", [1, 8], ["0"] * 8), 422, "data[0] of input 'features' is no number"),
    "flags": (tensor("features", "FP32", [1, 8], [True] * 8), 422, "data[0] of input 'features' is no number"),
    "no texts": (tensor("texts", "BYTES", [1], [1]), 422, "data[0] of input 'texts' is no text"),
    "fraction": (tensor("features", "UINT8", [1, 8], [0.5] * 8), 422, "a number that UINT8 has not"),
    "beyond bytes": (tensor("features", "UINT8", [1, 8], [256] * 8), 422, "a number that UINT8 has not"),
    "beyond floats": (tensor("features", "FP32", [1, 8], [10**300 * 10**300] * 8), 422, "features[0][0] is NaN, infin"),
    "large": (tensor("features", "FP32", [1, 8], [1e39] * 8), 422, "beyond 32-bit numbers"),
    "no data": (tensor("features", "FP32", [1, 8]), 422, "'features' must have data, or binary_data_size"),
    "both": (tensor("features", "FP32", [1, 1], [0], parameters={SIZE: 4}), 422, "'features' must have data, or"),
    "bytes": (tensor("features", "FP32", [1, 8], parameters={SIZE: 4}), 422, "has 4 bytes as binary_data_size says"),
    "memory": (tensor("features", "FP32", [1, 8], parameters={"shared_memory_region": "x"}), 422, "shares no memory"),
    "no picture": (tensor("images", "UINT8", [1, 2, 2, 2], [0] * 8), 422, "or the same with 1 or 3 colours"),
    "no pixels": (tensor("images", "UINT8", [1, 0, 2, 3], []), 422, "must have pictures of at least one pixel"),
    "many": (tensor("features", "FP32", [999, 8], [0]), 413, "999 examples in one request, and 256 is most"),
    "empty text": (tensor("texts", "BYTES", [1], [" "]), 422, "texts[0] is empty"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_tensor_is_refused_by_its_name(client, case):
    one, status, *said = WRONG[case]
    refused(infer(client, "rows", one), status, *said)


def test_wrong_requests_are_refused(client):
    row = tensor("features", "FP32", [1, 8], [0.1] * 8)
    refused(infer(client, "rows", row, outputs=[{"name": "score"}]), 422, "there is no output 'score'", "label")
    refused(infer(client, "rows", row, outputs=[{"name": "label"}] * 2), 422, "an output is asked for twice")
    classified = [{"name": "label", "parameters": {"classification": 2}}]
    refused(infer(client, "rows", row, outputs=classified), 422, "no parameter 'classification'")
    refused(infer(client, "rows", row, parameters={"binary_data_output": 1}), 422, "must be true or false")
    refused(infer(client, "none", row), 404, "there is no task 'none'")
    refused(infer(client, "bare", row), 409)
    for said in ("x", "-1", "99999", "1" * 30):
        refused(infer(client, "rows", row, headers={LENGTH: said}), 400, "Inference-Header-Content-Length is")
    refused(infer(client, "rows", row, headers={"content-encoding": "gzip"}), 415, "packed with gzip")
    refused(infer(client, "rows", row, headers={"content-type": "multipart/form-data; boundary=x"}), 415, "multipart")
    refused(client.post("/v2/models/rows/infer", content=b"{"), 400, "not JSON")
    refused(client.post("/v2/models/rows/infer", content=b'{"inputs": [NaN]}'), 400, "NaN")
    refused(client.post("/v2/models/rows/versions/99/infer", json={"inputs": [row]}), 404, "at version")


@pytest.mark.parametrize(
    "one, behind, said",
    [
        (tensor("features", "FP32", [1, 8], parameters={SIZE: 32}), np.full(8, np.nan, "<f4").tobytes(), "[0] is NaN"),
        (tensor("features", "FP32", [1, 8], parameters={SIZE: 31}), b"x" * 31, "takes 32 bytes, and has 31"),
        (tensor("texts", "BYTES", [1], parameters={SIZE: 3}), b"abc", "are not so many pieces"),
        (tensor("texts", "BYTES", [1], parameters={SIZE: 8}), b"\xff\xff\xff\xffabcd", "are not so many pieces"),
        (tensor("texts", "BYTES", [2], parameters={SIZE: 5}), strings([b"a"]), "are not so many pieces"),
        (tensor("texts", "BYTES", [1], parameters={SIZE: 10}), strings([b"a", b"b"]), "are not so many pieces"),
        (tensor("texts", "BYTES", [1], parameters={SIZE: 6}), strings([b"a\xff"]), "texts[0] is not UTF-8: byte 1"),
        (tensor("images", "BYTES", [1], parameters={SIZE: 5}), strings([b"a"]), "images[0]"),
        (tensor("features", "FP32", [1, 8], parameters={SIZE: 4.5}), b"abcd", "binary_data_size"),
    ],
)
def test_wrong_bytes_are_refused(client, one, behind, said):
    task = {"texts": "words", "images": "photos"}.get(one["name"], "rows")
    refused(infer(client, task, one, behind), 422, said)


def test_bytes_are_bounded_and_json_before_them_is_counted(client):
    row = tensor("features", "FP32", [1, 6_000], parameters={SIZE: 24_000})
    refused(infer(client, "rows", row, bytes(24_000)), 413, "at most 5,000 numbers")
    many = tensor("features", "FP32", [1, 8], [0] * 6_000)
    refused(infer(client, "rows", many, b"\0\0"), 413, "at most 5,000 numbers")
    huge = tensor("images", "UINT8", [1, 100_000, 100_000], parameters={SIZE: 4})
    refused(infer(client, "photos", huge, b"\0\0\0\0"), 422, "10,000,000,000 pixels")


def test_a_key_that_may_look_may_infer(tmp_path):
    with serving(tmp_path, demand_keys=True) as made:
        write = {"authorization": f"Bearer {keys.add(tmp_path, 'write')[1]}"}
        made.headers.update(write)
        teach(made, "mine")
        teach(made, "theirs")
        made.headers["authorization"] = f"Bearer {keys.add(tmp_path, 'read', tasks=['mine'])[1]}"
        one = tensor("texts", "BYTES", [1], ["a"])
        assert infer(made, "mine", one).status_code == 200
        refused(infer(made, "theirs", one), 403, "for mine alone")
        assert made.get("/v2/models").json() == {"models": ["mine"]}
        del made.headers["authorization"]
        refused(infer(made, "mine", one), 401, "demands an API key")
        assert made.get("/v2/health/ready").status_code == 200


def test_tritons_own_client(tmp_path):
    triton = pytest.importorskip("tritonclient.http", reason="this needs tritonclient[http]")
    import httpx

    with service(tmp_path, None, ("kanji-protonet",)) as url, httpx.Client(base_url=url) as plain:
        plain.post("/api/tasks", json={"name": "shapes", "source": "kanji-protonet"}).raise_for_status()
        drawn = {"left": _drawing(slice(2, 6)), "right": _drawing(slice(20, 26))}
        for label, content in drawn.items():
            files = {"files": ("x.png", content), "label": (None, label)}
            plain.post("/api/tasks/shapes/examples", files=files).raise_for_status()
        with triton.InferenceServerClient(url.removeprefix("http://").rstrip("/")) as client:
            assert client.is_server_live() and client.is_server_ready() and client.is_model_ready("shapes")
            assert not client.is_model_ready("none")
            assert client.get_model_metadata("shapes")["inputs"][0]["name"] == "images"
            files = np.array(list(drawn.values()), object)
            asked = triton.InferInput("images", [2], "BYTES")
            asked.set_data_from_numpy(files)
            result = client.infer("shapes", [asked])
            assert result.as_numpy("label").tolist() == [b"left", b"right"]
            wanted = [triton.InferRequestedOutput("probabilities", binary_data=binary) for binary in (True, False)]
            for one in wanted:
                probabilities = client.infer("shapes", [asked], outputs=[one]).as_numpy("probabilities")
                assert np.array_equal(probabilities, result.as_numpy("probabilities"))
            with pytest.raises(Exception, match="there is no input 'pixels'"):
                client.infer("shapes", [triton.InferInput("pixels", [1], "FP32")])


def _drawing(columns):
    from PIL import Image

    pixels = np.full((28, 28), 255, np.uint8)
    pixels[4:24, columns] = 0
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()
