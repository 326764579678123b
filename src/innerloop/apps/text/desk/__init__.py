"""The support desk: replies by intent, passages of documents, and a person where neither fits."""
