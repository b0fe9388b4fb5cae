import { byId } from './elements.js';

/** Calls back with each image file that is dropped on the page, pasted, or chosen. */
export function takeImages(take: (file: File) => Promise<void>): void {
  const veil = byId('drop', HTMLDivElement);
  const files = byId('files', HTMLInputElement);
  const takeAll = async (list: FileList | null | undefined): Promise<void> => {
    for (const file of Array.from(list ?? [])) await take(file);
  };
  files.addEventListener('change', () => {
    void takeAll(files.files).then(() => (files.value = ''));
  });
  const hold = (event: DragEvent): void => {
    event.preventDefault();
    veil.hidden = false;
  };
  document.addEventListener('dragenter', hold);
  document.addEventListener('dragover', hold);
  document.addEventListener('dragleave', ({ relatedTarget }) => {
    if (relatedTarget === null) veil.hidden = true;
  });
  document.addEventListener('drop', (event) => {
    event.preventDefault();
    veil.hidden = true;
    void takeAll(event.dataTransfer?.files);
  });
  document.addEventListener('paste', ({ clipboardData }) => {
    void takeAll(clipboardData?.files);
  });
}
