"""Values are what frozen dataclasses are, as far as values go, and cost less to make."""

from __future__ import annotations

import copy
import dataclasses
import pickle

import pytest

from promptyoself.domain.values import dataclass, field, replace

HOT = 64


@dataclass(frozen=True, slots=True)
class Point:
    x: int
    y: int = 2
    tags: list[str] = field(default_factory=list)

    @property
    def total(self) -> int:
        return self.x + self.y


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    title: str = "t"
    size: int

    def __post_init__(self) -> None:
        if self.size < 0:
            raise ValueError("size")
        object.__setattr__(self, "title", self.title.strip())


@dataclass(frozen=True, slots=True)
class Nothing:
    """No field at all."""


@pytest.fixture(scope="module", autouse=True, params=["few of them", "many of them"])
def made(request: pytest.FixtureRequest) -> None:
    """Claim it all twice: a class of which many values were made has functions of its own."""
    if request.param == "many of them":
        for _ in range(HOT):
            Point(1), Named(size=1), Nothing()
        assert {made.__init__.__code__.co_filename for made in (Point, Named, Nothing)} == {"<string>"}


def test_fields_take_arguments_defaults_and_factories() -> None:
    one, other = Point(1), Point(1)
    assert (one.x, one.y, one.tags, one.total) == (1, 2, [], 3)
    assert one.tags is not other.tags
    assert Point(1, y=5).y == 5


def test_equality_hash_and_repr_go_by_class_and_fields() -> None:
    assert Point(1) == Point(1, 2)
    assert Point(1) != Point(2)
    assert Point(1) != object()
    assert Nothing() == Nothing()
    assert hash(Named(size=1)) == hash(Named(size=1))
    assert repr(Point(1)) == "Point(x=1, y=2, tags=[])"


def test_nothing_can_be_assigned_deleted_or_added() -> None:
    point = Point(1)
    with pytest.raises(AttributeError, match="frozen"):
        point.x = 3  # type: ignore[misc]
    with pytest.raises(AttributeError, match="frozen"):
        del point.x
    assert not hasattr(point, "__dict__")


@pytest.mark.parametrize(
    ("arguments", "given"),
    [((), {}), ((1, 2, [], 4), {}), ((1,), {"x": 1}), ((1,), {"z": 1}), ((1,), {"z": 1, "y": 2, "tags": []})],
)
def test_wrong_arguments_are_refused(arguments: tuple[object, ...], given: dict[str, object]) -> None:
    with pytest.raises(TypeError):
        Point(*arguments, **given)  # type: ignore[arg-type]


def test_keyword_only_fields_take_no_position() -> None:
    with pytest.raises(TypeError):
        Named("t", 1)  # type: ignore[call-arg]
    assert Named.__match_args__ == ()
    assert Point.__match_args__ == ("x", "y", "tags")


def test_post_init_checks_and_may_correct() -> None:
    assert Named(title=" a ", size=1).title == "a"
    with pytest.raises(ValueError, match="size"):
        Named(size=-1)


def test_replace_changes_what_it_names_and_checks_again() -> None:
    assert replace(Point(1, 2, ["a"]), y=9) == Point(1, 9, ["a"])
    with pytest.raises(TypeError):
        replace(Point(1), z=1)  # type: ignore[call-arg]
    with pytest.raises(ValueError, match="size"):
        replace(Named(size=1), size=-1)


def test_values_can_be_copied_and_pickled() -> None:
    point = Point(1, 2, ["a"])
    assert copy.deepcopy(point) == point
    assert pickle.loads(pickle.dumps(point)) == point  # noqa: S301  our own bytes


def test_the_standard_library_knows_them_too() -> None:
    assert dataclasses.is_dataclass(Point(1))
    assert [found.name for found in dataclasses.fields(Point)] == ["x", "y", "tags"]
    assert dataclasses.replace(Point(1), y=9) == Point(1, 9)
    with pytest.raises(dataclasses.FrozenInstanceError):
        Point(1).x = 3  # type: ignore[misc]


def test_only_frozen_values_with_slots_are_made() -> None:
    with pytest.raises(TypeError, match="frozen"):
        dataclass(frozen=False, slots=True)(type("Loose", (), {}))
