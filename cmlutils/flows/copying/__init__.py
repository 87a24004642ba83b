"""The files of a project on their way: listings, the plan of a copy, rsyncs, and what is checked afterwards."""
