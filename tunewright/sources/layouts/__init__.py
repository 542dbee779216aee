"""What a record's fields can mean, one file each."""
