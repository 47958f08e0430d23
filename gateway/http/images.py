"""Images in requests: base64 text, checked before anybody else gets to see it.

Nothing is fetched: an address in a request could be anybody's, also one inside this network. What the bytes are is for
the backend to find out. Pure.
"""

import binascii

from gateway.http.errors import Problem

SCHEME = "data:image/"
BY_ADDRESS = "images are not fetched from addresses; send the image itself: data:image/png;base64,..."


def from_data_url(url: str, field: str) -> str:
    """The base64 of a data: URL.

    Raises:
        Problem: `not_offered` for any other address, `invalid_request` for what is no base64.
    """
    head, found, data = url.partition(",")
    if head[:len("data:")].lower() != "data:":
        raise Problem("not_offered", f"{field}: {BY_ADDRESS}", field)
    if not found or not head.lower().startswith(SCHEME) or not head.lower().endswith(";base64"):
        raise Problem("invalid_request", f"{field}: expected data:image/png;base64,... (or another kind of image)",
                      field)
    return check_image(data, field)


def check_images(images: list[str] | None, field: str) -> list[str]:
    """Those of a field that holds a list. Raises: Problem `invalid_request`."""
    return [check_image(image, f"{field}[{number}]") for number, image in enumerate(images or ())]


def check_image(image: str, field: str) -> str:
    """Without the line breaks that some encoders put in. Raises: Problem `invalid_request`."""
    if is_base64(image):
        return image
    joined = "".join(image.split())  # only now: that takes longer than the check, and hardly any image needs it
    if is_base64(joined):
        return joined
    raise Problem("invalid_request", f"{field}: is not the base64 of an image (with its padding, without `data:...,` "
                  "before it)", field)


def is_base64(text: str) -> bool:
    """And of more than nothing."""
    try:
        return bool(binascii.a2b_base64(text, strict_mode=True))
    except ValueError:  # binascii.Error is one; the other is text that is not ASCII
        return False
