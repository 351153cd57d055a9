"""Hides faces in images, and leaves nothing else in the files that could tell who, where or when.

    bytes -> upright pixels -> faces -> areas -> hidden -> the same kind of file without metadata -> looked at again

Works on plain files: it knows neither Label Studio nor the database. ``deidentify.Deidentifier`` is the way in.
"""
