"""Which process this is: alone, and in a group (of two: the tests of training and losses)."""

from torch import distributed

from noisewise.processes import alone, is_first, world


def test_without_a_group_this_process_is_the_only_one():
    assert world() == (0, 1)
    assert alone()
    assert is_first()


def test_a_group_of_one_is_alone_too():
    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    try:
        assert world() == (0, 1)
        assert alone()
        assert is_first()
    finally:
        distributed.destroy_process_group()
