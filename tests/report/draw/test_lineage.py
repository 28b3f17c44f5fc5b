from instructgpt.report.draw.lineage import Track, picture, tracks
from instructgpt.report.read.lineage import Sources, sources

NAMES = "sft sample rank reward ppo sample-2 rank-2 reward-2 ppo-plain ppo-2 evaluate".split()


def test_lines_that_run_side_by_side_get_lanes_of_their_own():
    def taking(*models: int, data: tuple[int, ...] = ()) -> Sources:
        return Sources(list(models), list(data), [], [])

    found = [taking(), taking(0), taking(data=(1,)), taking(0, data=(2,))]
    assert tracks(found) == [
        Track(0, [1, 3], 1, is_data=False),
        Track(1, [2], 0, is_data=True),
        Track(2, [3], 0, is_data=True),
    ]
    crossing = [taking(), taking(0), taking(0), taking(1)]
    assert [track.lane for track in tracks(crossing)] == [0, 1]


def test_the_drawing_has_a_dot_for_every_use(work):
    drawn = picture(work)
    assert drawn is not None
    assert [node.name for node in drawn.nodes] == NAMES
    uses = sum(len({*found.models, *found.data}) for found in sources(work))
    assert sum(len(line.dots) for line in drawn.lines) == uses == 19
    for one in drawn.lines:
        for other in drawn.lines:
            apart = one is other or one.x != other.x
            assert apart or one.bottom <= other.top or other.bottom <= one.top
