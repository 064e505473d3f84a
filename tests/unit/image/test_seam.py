from hypothesis import example, given
from hypothesis import strategies as st

from modelferry.image.seam import ReleasedStack, choose_seam, shared_layers
from modelferry.values import Digest

layers = st.lists(st.sampled_from("abcdefgh").map(Digest), max_size=8)


@st.composite
def released_stacks(draw: st.DrawFn) -> ReleasedStack:
    app = tuple(draw(layers))
    return ReleasedStack(app=app, below_model=draw(st.integers(0, len(app))))


def stack(text: str) -> list[Digest]:
    return [Digest(letter) for letter in text]


def released(text: str) -> ReleasedStack:
    below, _, above = text.partition("M")
    return ReleasedStack(app=(*stack(below), *stack(above)), below_model=len(below))


def seam(app: str, before: str) -> str:
    at = choose_seam(stack(app), released=released(before))
    return f"{app[:at]}M{app[at:]}"


def test_what_users_do() -> None:
    assert seam("abcX", "abMcd") == "abMcX"  # code: the model stays
    assert seam("abcd", "abMcd") == "abMcd"  # a new model, the same code
    assert seam("abXd", "abcMd") == "abMXd"  # a new requirement below the model
    assert seam("Xbcd", "abMcd") == "MXbcd"  # another base: nothing is shared
    assert seam("Xbcd", "Mabcd") == "MXbcd"  # and the next one costs no model
    assert seam("ab", "abcM") == "abM"  # layers went away


def test_the_first_release_lies_right_above_the_base() -> None:
    assert choose_seam(stack("abcd"), base_layers=2) == 2
    assert choose_seam(stack("abcd"), base_layers=0) == 0
    assert choose_seam(stack("abcd")) == 4
    assert choose_seam(stack("abcd"), base_layers=2, lowest=3) == 3


@given(layers, st.none() | released_stacks(), st.none() | st.integers(0, 9), st.integers(0, 8))
def test_the_seam_is_in_the_stack_and_nothing_above_hides_the_model(
    app: list[Digest], before: ReleasedStack | None, base: int | None, lowest: int
) -> None:
    at = choose_seam(app, released=before, base_layers=base, lowest=min(lowest, len(app)))
    assert min(lowest, len(app)) <= at <= len(app)


@given(layers, released_stacks(), st.integers(0, 8))
def test_released_again_it_stays(app: list[Digest], before: ReleasedStack, lowest: int) -> None:
    first = choose_seam(app, released=before, lowest=lowest)
    again = ReleasedStack(app=tuple(app), below_model=first)
    assert choose_seam(app, released=again, lowest=lowest) == first


@given(layers, released_stacks())
def test_what_lies_below_was_released_below_the_model(
    app: list[Digest], before: ReleasedStack
) -> None:
    """So no node unpacks the model again, unless something under it changed."""
    at = choose_seam(app, released=before)
    assert tuple(app[:at]) == before.app[: before.below_model][:at]
    if tuple(app[: before.below_model]) == before.app[: before.below_model]:
        assert at == before.below_model
    else:
        assert at == len(app) or app[at] != before.app[at]


@given(layers, released_stacks(), layers)
def test_what_changes_above_the_model_does_not_move_it(
    app: list[Digest], before: ReleasedStack, other: list[Digest]
) -> None:
    at = choose_seam(app, released=before)
    after = ReleasedStack(app=tuple(app), below_model=at)
    assert choose_seam([*app[:at], *other], released=after) == at


@given(layers, layers)
@example(stack("ab"), stack("abc"))
def test_the_shared_beginning_is_the_longest(one: list[Digest], other: list[Digest]) -> None:
    count = shared_layers(one, other)
    assert one[:count] == other[:count]
    assert count == min(len(one), len(other)) or one[count] != other[count]
