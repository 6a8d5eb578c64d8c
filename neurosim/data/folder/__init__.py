"""A folder of one's own recordings as a dataset. `folder.open_folder` calls the others in this order:

    options            what a user may say of a folder
    items              the file, class, split and speaker of each recording, from files of labels (labels) or from names
                       of folders and files (split_names)
    takes              which recording an item is a piece of, so that its pieces stay on one side of a split
    splits             train and test, where the folder does not name them
    images, pictures   still images in front of an emulated camera, or as grey levels
    sensor             one shape for all recordings
    duplicates         a remark on recordings that occur in two classes
    doubts             what looks wrong in recordings that could be read

`sharded` stands apart: recordings larger than memory, in shards that were written before.
"""
