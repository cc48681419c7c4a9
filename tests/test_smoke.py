from conftest import Person, mail


def test_a_day(alice: Person) -> None:
    n = alice.receive(mail("Picture of the bridge"))[0]
    assert alice.json("list")[0]["number"] == n
    alice.ok("take", n)
    alice.ok("note", n, "-m", "checked the licence")
    alice.ok("close", n, "--outcome", "successful")
    assert alice.json("show", n)["outcome"] == "successful"
    assert alice.ok("verify").out.endswith("all in order\n")
