"""The stage of the dress rehearsal: real servers on loopback, and everything that obeys the AWS APIs."""
