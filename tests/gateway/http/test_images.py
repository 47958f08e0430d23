"""Images as text: what is one, what is none, and that nothing is fetched."""

import pytest

from gateway.http.errors import Problem
from gateway.http.images import check_image, check_images, from_data_url


def test_line_breaks_of_old_encoders_are_taken_out():
    assert check_image("aG\r\nVs\nbG8=\n", "images[0]") == "aGVsbG8="


@pytest.mark.parametrize("text", ["", " ", "=", "aGk", "aGk==", "a-_k", "aGk=aGk=", "ü", "data:image/png;base64,aGk="])
def test_what_is_no_base64_is_refused_by_name(text):
    with pytest.raises(Problem) as caught:
        check_image(text, "images[3]")
    assert (caught.value.code, caught.value.param) == ("invalid_request", "images[3]")
    assert caught.value.message.startswith("images[3]: ")


def test_no_images_are_none():
    assert check_images(None, "images") == check_images([], "images") == []


@pytest.mark.parametrize(("url", "code"), [
    ("http://x/y.png", "not_offered"), ("x", "not_offered"), ("", "not_offered"), ("data", "not_offered"),
    ("data:image/png;base64", "invalid_request"), ("data:image/svg+xml,<svg/>", "invalid_request"),
    ("data:application/pdf;base64,aGk=", "invalid_request")])
def test_other_urls_are_refused_with_what_to_send_instead(url, code):
    with pytest.raises(Problem, match="data:image/png;base64") as caught:
        from_data_url(url, "image_url")
    assert (caught.value.code, caught.value.param) == (code, "image_url")


def test_a_data_url_gives_its_base64():
    assert from_data_url("data:image/png;base64,aGk=", "x") == "aGk="
