"""dsetkit against its peers on the same work in the same run; see README.md in this folder."""
