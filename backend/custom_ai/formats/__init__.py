"""Labels in the file formats of others: COCO, YOLO and Pascal VOC, read and written. Pure: no Label Studio.

A reader makes a ``common.DataSet`` of a ``source.Source``; a writer gives the files of a data set, name by name.
"""
