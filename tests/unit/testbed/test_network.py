import pytest

from testbed import network


@pytest.mark.parametrize(
    "rule",
    [
        "-A FORWARD -j DOCKER-USER",
        "-A FORWARD -o docker0 -j DOCKER",
        "-A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER",
        "-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE",
        "-A FORWARD -i br-0123456789ab ! -o br-0123456789ab -j ACCEPT",
    ],
)
def test_the_engines_rules_are_known(rule: str) -> None:
    assert network.is_dockers(rule)


@pytest.mark.parametrize(
    "rule",
    [
        "-A FORWARD -i virbr0 -j ACCEPT",
        "-A FORWARD -i br-lan -j ACCEPT",
        "-A KUBE-FORWARD -m mark --mark 0x4000/0x4000 -j ACCEPT",
        '-A INPUT -m comment --comment "not DOCKERED" -j ACCEPT',
    ],
)
def test_other_peoples_rules_are_left_alone(rule: str) -> None:
    assert not network.is_dockers(rule)
