"""gateway/http/embed_face.py: vectors that are cut."""

import math
from array import array

import pytest

from gateway.http.embed_face import EmbedFace, shortened
from gateway.http.errors import Problem
from gateway.http.heard import Heard
from gateway.protocol import Vectors

NEAR = 1e-6


def bytes_of(*values):
    return array("f", values).tobytes()


def test_a_vector_that_is_cut_points_the_same_way_and_has_length_one():
    found = array("f", shortened(bytes_of(3.0, 4.0, 12.0), 2))
    assert found.tolist() == pytest.approx([0.6, 0.8], abs=NEAR) and math.hypot(*found) == pytest.approx(1.0, abs=NEAR)


def test_a_vector_of_nothing_stays_nothing():
    assert shortened(bytes_of(0.0, 0.0, 1.0), 2) == bytes_of(0.0, 0.0)


def test_no_more_dimensions_than_there_are():
    heard = Heard()
    heard.add(Vectors("1", [bytes_of(1.0, 0.0)]))
    assert EmbedFace(dimensions=2).vectors(heard) == [bytes_of(1.0, 0.0)]
    with pytest.raises(Problem, match="dimensions: 3 is more than the 2"):
        EmbedFace(dimensions=3).vectors(heard)
