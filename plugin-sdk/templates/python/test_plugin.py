"""What the plugin decides, without a pool: ``python3 -m unittest``."""

import unittest

from plugin import Step, decide


class Decisions(unittest.TestCase):
    def test_a_stop_is_tagged_once_and_a_start_clears_it(self) -> None:
        self.assertEqual(decide("Running", "Halted", tagged=False), Step.TAG)
        self.assertEqual(decide("Running", "Halted", tagged=True), Step.NOTHING)
        self.assertEqual(decide("Halted", "Running", tagged=True), Step.UNTAG)
        self.assertEqual(decide("Suspended", "Halted", tagged=False), Step.NOTHING)


if __name__ == "__main__":
    unittest.main()
